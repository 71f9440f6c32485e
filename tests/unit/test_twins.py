"""The same picture under two names, told by its pixels and by nothing else."""

from pathlib import Path

import numpy as np
import pytest

from overtile.errors import InputError
from overtile.images.raw import RawImage
from overtile.planning.plan import Fold
from overtile.planning.twins import refuse_twins
from overtile.stores.ingest import write_picture
from overtile.stores.store import Store

PIXELS = np.random.default_rng(0).integers(0, 200, (2, 40, 50), dtype=np.uint8)


@pytest.fixture
def store(tmp_path):
    def make(name, pixels, size=None):
        raw = RawImage(Path("x.tif"), pixels[None], (0, 1, 2, 3), None)
        write_picture(raw, tmp_path / f"{name}.ome.zarr", name, size, None)
        return Store.open(tmp_path / f"{name}.ome.zarr")

    return make


@pytest.mark.parametrize("size", [None, (1.0, 0.5, 0.5)])
def test_a_picture_may_not_be_learnt_from_and_validated_on_under_whatever_name(store, size):
    pictures = [store("a", PIXELS), store("b", PIXELS, size)]
    with pytest.raises(InputError, match="slide b: is the same picture as slide a; one") as error:
        refuse_twins(pictures, [Fold(("a",), ("b",))])
    assert "\n" not in str(error.value)
    refuse_twins(pictures, [Fold(("a", "b"), ())])


@pytest.mark.parametrize("turn", [np.flip, np.transpose, np.rot90])
def test_pictures_of_equal_statistics_are_told_apart_by_their_pixels(store, turn):
    half = np.repeat(np.array([0, 2], np.uint8), 800)  # mean and deviation 1, without rounding
    square = np.random.default_rng(0).permutation(half).reshape(1, 40, 40)
    other = turn(square[0])[None]
    pictures = [store("a", square), store("b", other)]
    assert (pictures[0].mean, pictures[0].std) == (pictures[1].mean, pictures[1].std)
    refuse_twins(pictures, [Fold(("a",), ("b",))])


def test_even_pictures_are_like_no_others(store):
    even = np.full_like(PIXELS, 7)
    refuse_twins([store("a", even), store("b", even)], [Fold(("a",), ("b",))])
