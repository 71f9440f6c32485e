"""Damaged stores: what Zarr would read as zeros is noticed."""

import shutil

import numpy as np
import pytest

from overtile.errors import InputError
from overtile.images.raw import RawImage
from overtile.stores import layout
from overtile.stores.ingest import write_picture
from overtile.stores.store import Store
from overtile.stores.undamaged import Checked, refuse_incomplete


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A float picture of 3 x 3 shards with pyramid, of which one is 0 and one is -0."""
    pixels = np.random.default_rng(0).normal(size=(2, 1, 290, 300)).astype(np.float32)
    pixels[..., 128:256, 128:256] = 0
    pixels[..., 128:256, :128] = -0.0
    folder = tmp_path_factory.mktemp("whole") / "s.ome.zarr"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "PICTURE_CHUNK", (1, 64, 64))
        patch.setattr(layout, "PICTURE_SHARD", (1, 128, 128))
        raw = RawImage(folder, pixels, (0, 1, 2, 3), None)
        write_picture(raw, folder, "k", None, None)
    assert not (folder / "0" / "c" / "0" / "0" / "1" / "1").exists()
    assert (folder / "0" / "c" / "0" / "0" / "2" / "2").exists()
    return folder


@pytest.fixture
def store(whole, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(whole, tmp_path / "s.ome.zarr")


def test_a_store_with_nothing_lost_is_taken_also_where_it_is_zero(whole):
    refuse_incomplete(Store.open(whole))


@pytest.mark.parametrize("place", ["0/c/0/0/0/2", "0/c/0/0/2/2", "1/c/0/0/0/0"])
@pytest.mark.parametrize("is_emptied", [False, True])
def test_any_lost_or_emptied_shard_is_named(store, place, is_emptied):
    if is_emptied:
        (store / place).write_bytes(b"")
    else:
        (store / place).unlink()
    level, _, _, z, y, x = place.split("/")
    with pytest.raises(InputError, match=f"its file {level}/c/{z}.{y}.{x} is lost; copy the store"):
        refuse_incomplete(Store.open(store))


def test_without_a_journal_nothing_is_known_to_be_lost(store):
    (store / "journal.jsonl").unlink()
    (store / "0" / "c" / "0" / "0" / "0" / "2").unlink()
    refuse_incomplete(Store.open(store))


def test_a_journal_line_that_was_cut_short_is_left_out(store):
    journal = store / "journal.jsonl"
    journal.write_text(journal.read_text() + '{"block": "0/0.0')
    refuse_incomplete(Store.open(store))


def test_a_lost_level_and_statistics_that_are_no_numbers_are_refused(store):
    shutil.rmtree(store / "1")
    with pytest.raises(InputError, match="its pyramid level 1 is missing"):
        refuse_incomplete(Store.open(store))
    opened = Store.open(store)
    opened.attributes["std"][1] = float("nan")
    with pytest.raises(InputError, match="deviation of its pixels is not a number"):
        refuse_incomplete(opened)


@pytest.mark.parametrize("bytes_left", [1, 10, 1000, -20])
def test_a_shard_that_was_cut_short_is_one_line_when_read(store, bytes_left):
    shard = store / "0" / "c" / "0" / "0" / "0" / "0"
    shard.write_bytes(shard.read_bytes()[:bytes_left])
    checked = Checked(store, Store.open(store).array)
    with pytest.raises(InputError, match="has a damaged file") as error:
        checked[:, 0, :10, :10]
    assert "\n" not in str(error.value)
    assert checked[:, 0, :10, 128:138].shape == (2, 10, 10)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_no_numbers_are_refused_where_they_are_read(value):
    pixels = np.zeros((1, 3, 9, 9), np.float32)
    pixels[0, 1, 5, 6] = value
    checked = Checked("s", pixels)
    assert checked[:, 0, :, :].shape == (1, 9, 9)
    with pytest.raises(InputError, match=r"s: has NaN or infinite pixels near .* = \(1, 4, 0\)"):
        checked[:, 1, 4:, :]
