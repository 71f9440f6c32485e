"""The same picture under two names, told by its pixels and by nothing else."""

from pathlib import Path

import numpy as np
import pytest

from overtile.errors import InputError
from overtile.ingest.pictures import write_picture
from overtile.planning.plan import Fold
from overtile.planning.twins import refuse_twins
from overtile.readers.raw import RawImage
from overtile.stores.store import Store
from tests.unit.finished import small_layout

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


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_the_same_pixels_in_another_dtype_are_the_same_picture(store, dtype):
    pictures = [store("a", PIXELS), store("b", PIXELS.astype(dtype))]
    with pytest.raises(InputError, match="slide b: is the same picture as slide a"):
        refuse_twins(pictures, [Fold(("a",), ("b",))])


def alike() -> list[np.ndarray]:
    """Three pictures of equal mean and deviation, without rounding, and of other pixels."""
    half = np.repeat(np.array([0, 2], np.uint8), 800)
    return [np.random.default_rng(n).permutation(half).reshape(1, 40, 40) for n in range(3)]


def test_a_twin_is_found_behind_others_of_equal_statistics_and_in_any_fold(store):
    one, other, third = alike()
    pixels = {"a": one, "b": other, "c": third, "d": other}
    pictures = [store(name, each) for name, each in pixels.items()]
    harmless = Fold(("a", "b"), ("c",))
    for fold in (Fold(("a", "b"), ("c", "d")), Fold(("a", "d", "c"), ("b",))):
        for folds in ([fold], [harmless, fold]):
            with pytest.raises(InputError, match="is the same picture as slide [bd]"):
                refuse_twins(pictures, folds)
    refuse_twins(pictures, [harmless])


def test_twins_are_equal_in_all_their_pieces(store, monkeypatch):
    small_layout(monkeypatch)
    one = alike()[0]
    for number, row in enumerate((0, 20, 39)):
        other = one.copy()
        other[0, row] = other[0, row, ::-1]
        assert not np.array_equal(one, other)
        pictures = [store(f"a{number}", one), store(f"b{number}", other)]
        refuse_twins(pictures, [Fold((f"a{number}",), (f"b{number}",))])


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
