"""Damaged stores: what Zarr would read as zeros is noticed."""

import os
import re
import shutil

import numpy as np
import pytest

from overtile.errors import InputError
from overtile.exports.outlines import outline_objects
from overtile.exports.tiff import write_tiff
from overtile.geometry.spans import Block
from overtile.ingest.pictures import write_picture
from overtile.objects.measurements import measure_objects
from overtile.objects.segmentation import write_segmentation
from overtile.prediction.foreground import find_foreground, own_foreground
from overtile.readers.raw import RawImage
from overtile.settings.segmentation import Segmenting
from overtile.stores import layout
from overtile.stores.checked import Checked
from overtile.stores.digest import digest_pixels, digest_zeros
from overtile.stores.ngff import multiscale_attributes
from overtile.stores.store import ROOT, Store
from overtile.stores.writer import StoreWriter
from tests.unit.finished import make_old


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
    return folder


def read_all(folder):
    """The pixels of every level of a store."""
    store = Store.open(folder)
    return [store.level(number)[:] for number in range(store.levels)]


@pytest.fixture
def store(whole, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(whole, tmp_path / "s.ome.zarr")


@pytest.fixture
def old(store):
    """The same as it was written before there were seals."""
    make_old(store)
    return store


def test_every_shard_of_a_store_is_a_file_also_where_it_is_zero(whole):
    assert (whole / "0" / "c" / "0" / "0" / "1" / "1").exists()
    read_all(whole)


def test_a_store_from_before_has_no_files_for_zeros_and_its_journal_vouches_for_them(whole, old):
    assert not (old / "0" / "c" / "0" / "0" / "1" / "1").exists()
    assert (old / "0" / "c" / "0" / "0" / "1" / "0").exists()
    for found, wanted in zip(read_all(old), read_all(whole), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert Store.open(old).attributes == Store.open(whole).attributes
    (old / "journal.jsonl").unlink()
    with pytest.raises(InputError, match=r"its file 0/c/0/0/1/1 is lost; copy the store again"):
        read_all(old)


@pytest.mark.parametrize("place", ["0/c/0/0/0/2", "0/c/0/0/2/2", "0/c/0/0/1/1", "1/c/0/0/0/0"])
@pytest.mark.parametrize("is_emptied", [False, True])
def test_any_lost_or_emptied_shard_is_named(store, place, is_emptied):
    if is_emptied:
        (store / place).write_bytes(b"")
    else:
        (store / place).unlink()
    with pytest.raises(InputError, match=f"its file {place} is lost; copy the store"):
        read_all(store)


def test_a_lost_shard_is_told_when_a_level_is_opened_and_only_of_that_level(store):
    (store / "1/c/0/0/0/0").unlink()
    opened = Store.open(store)
    assert opened.shapes == [(2, 1, 290, 300), (2, 1, 145, 150)]
    assert opened.array[:].shape == (2, 1, 290, 300)
    with pytest.raises(InputError, match="its file 1/c/0/0/0/0 is lost"):
        opened.level(1)


def test_a_shard_that_is_lost_after_a_level_was_opened_is_told_when_it_is_read(store):
    array = Store.open(store).array
    (store / "0/c/0/0/0/2").unlink()
    assert array[..., :10, :10].shape == (2, 1, 10, 10)
    with pytest.raises(InputError, match="its file 0/c/0/0/0/2 is lost"):
        array[..., :10, :]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"fill_value": 0.0', '"fill_value": 5.0'),
        ('"separator": "/"', '"separator": "."'),
        ("290", "291"),
        ("290", "289"),
        ("300", "900"),
        ("300", "200"),
        ("  2,", "  1,"),
        ("  2,", "  0,"),
        ("128", "0"),
        ("64", "0"),
        ("64", "128"),
        ('"float32"', '"int32"'),
        ('"end"', '"start"'),
    ],
)
def test_metadata_of_a_store_from_before_are_not_believed_where_they_are_changed(
    old, before, after
):
    file = old / "0" / ROOT
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, after))
    with pytest.raises(InputError, match=f"{old}"):
        read_all(old)


@pytest.mark.parametrize("place", ["0/c/0/0/0/2", "0/c/0/0/2/2", "1/c/0/0/0/0"])
def test_a_lost_shard_of_a_store_from_before_is_named(old, place):
    (old / place).unlink()
    with pytest.raises(InputError, match=f"its file {place} is lost; copy the store"):
        read_all(old)


def test_a_level_is_looked_through_once_and_by_folders_not_by_files(whole, monkeypatch):
    seen, walk = [], os.walk
    monkeypatch.setattr(os, "walk", lambda folder: seen.append(folder) or walk(folder))
    store = Store.open(whole)
    for _ in range(3):
        store.level(1)
        store.array[:]
    assert seen == [whole / "1" / "c", whole / "0" / "c"]


@pytest.mark.parametrize("is_old", [True, False])
def test_a_journal_line_that_was_cut_short_is_left_out(store, is_old):
    if is_old:
        make_old(store)
    journal = store / "journal.jsonl"
    journal.write_text(journal.read_text() + '{"block": "0/0.0')
    read_all(store)


def test_a_lost_level_and_statistics_that_are_no_numbers_are_refused(old):
    root = (old / ROOT).read_text()
    (old / "journal.jsonl").unlink()
    (old / ROOT).write_text(re.sub(r'"std": .\s*0.\d+', '"std": [NaN', root))
    with pytest.raises(InputError, match="deviation of its pixels is not a number"):
        Store.open(old)
    (old / ROOT).write_text(root)
    shutil.rmtree(old / "1")
    with pytest.raises(InputError, match="its pyramid level 1 is missing"):
        Store.open(old).level(1)


@pytest.mark.parametrize("bytes_left", [1, 10, 1000, -20])
def test_a_shard_that_was_cut_short_is_one_line_when_read(store, bytes_left):
    shard = store / "0" / "c" / "0" / "0" / "0" / "0"
    shard.write_bytes(shard.read_bytes()[:bytes_left])
    checked = Store.open(store).array
    with pytest.raises(InputError, match=f"has a damaged file in {store / '0'} ") as error:
        checked[:, 0, :10, :10]
    assert "\n" not in str(error.value)
    assert checked[:, 0, :10, 128:138].shape == (2, 10, 10)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_no_numbers_are_refused_where_they_are_read(value):
    pixels = np.zeros((1, 3, 9, 9), np.float32)
    pixels[0, 1, 5, 6] = value
    checked = Checked("s", pixels)
    assert checked[:, 0, :, :].shape == (1, 9, 9)
    for index in ((slice(None), 1, slice(4, None)), (..., 1, slice(4, 9), slice(0, 9))):
        with pytest.raises(InputError, match=r"s: has NaN or infinite .* = \(1, 4, 0\)"):
            checked[index]
    with pytest.raises(InputError, match=r"s: has NaN or infinite pixels near .* = \(0, 0, 0\)"):
        checked[0]


@pytest.mark.parametrize("shape", [(1, 5, 7), (2, 1, 1, 1), (3, 600, 700)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint64, np.float32])
def test_the_digest_of_zeros_is_that_of_pixels_that_are_zero(shape, dtype):
    assert digest_zeros(shape, np.dtype(dtype)) == digest_pixels(np.zeros(shape, dtype))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Probabilities of random cells, and labels made of them, each of one shard."""
    folder = tmp_path_factory.mktemp("results")
    foreground = np.random.default_rng(1).integers(0, 256, (1, 60, 70)).astype(np.uint8)
    pixels = np.stack([255 - foreground, foreground])
    writer = StoreWriter(folder / "p", "k", "probabilities")
    writer.add_array("0", pixels.shape, np.uint8, "czyx")
    writer.fill("0", lambda block: (pixels[(slice(None), *block.slices)], {}), label="p")
    ome = multiscale_attributes("p", "czyx", [(1, 1, 1)], None, is_label=False)
    names = ["background", "cell"]
    writer.commit(ome, pixel_size_um=None, class_names=names, scale=1 / 255)
    write_segmentation(Store.open(folder / "p"), folder / "s", "k", Segmenting())
    return folder


@pytest.mark.parametrize("name", ["p", "s", "s/classes"])
def test_lost_probabilities_labels_and_classes_are_named(results, tmp_path, name):
    folder = shutil.copytree(results, tmp_path / "r")
    read_all(folder / name)
    next(path for path in (folder / name / "0" / "c").rglob("*") if path.is_file()).unlink()
    made = folder / name.removesuffix("/classes") / ROOT
    message = f"{folder / name}: its file 0/c/[0/]+ is lost; copy the store again, or delete {made}"
    with pytest.raises(InputError, match=message):
        read_all(folder / name)


def measure(folder, kind="segmentation", **others):
    labels = Store.open(folder / "s")
    labels.attributes["kind"] = kind
    measure_objects(labels, **others)


def outline(folder):
    whole = measure_objects(Store.open(folder / "whole"))
    list(outline_objects(Store.open(folder / "s"), whole))


READERS = {
    "segment": ("p", lambda r: write_segmentation(Store.open(r / "p"), r / "n", "k", Segmenting())),
    "seeds": (
        "p",
        lambda r: write_segmentation(
            Store.open(r / "p"), r / "n", "k", Segmenting(seed_threshold=0.9)
        ),
    ),
    "mean probability": ("p", lambda r: measure(r, probabilities=Store.open(r / "p"))),
    "ids": ("s", measure),
    "given ids": ("s", lambda r: measure(r, "instances")),
    "classes": ("s/classes", measure),
    "outlines": ("s", outline),
    "TIFF": ("s", lambda r: write_tiff(Store.open(r / "s"), r / "s.tif")),
}


def spoil(shard, is_cut):
    """Cut a shard short, or change a byte of its first pixels."""
    content = bytearray(shard.read_bytes())
    content[len(content) // 4] ^= 255
    shard.write_bytes(content[:-20] if is_cut else content)


@pytest.mark.parametrize("is_cut", [True, False])
@pytest.mark.parametrize("reader", READERS)
def test_whoever_reads_a_damaged_result_says_so_in_one_line(results, tmp_path, reader, is_cut):
    folder = shutil.copytree(results, tmp_path / "r")
    shutil.copytree(results / "s", folder / "whole")
    name, read = READERS[reader]
    read(folder)
    shutil.rmtree(folder / "n", ignore_errors=True)
    spoil(next(p for p in (folder / name / "0" / "c").rglob("*") if p.is_file()), is_cut)
    with pytest.raises(InputError, match=f"{folder / name}: has a damaged file in") as error:
        read(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("method", ["fill", "otsu"])
def test_a_damaged_picture_has_no_foreground(store, method):
    everything = Block((0, 0, 0), (0, 0, 0), Store.open(store).shape)
    assert find_foreground(Store.open(store), method, 0).any(everything)
    spoil(store / "0" / "c" / "0" / "0" / "0" / "0", is_cut=False)
    with pytest.raises(InputError, match=f"{store}: has a damaged file in"):
        find_foreground(Store.open(store), method, 0).any(everything)


@pytest.mark.parametrize("is_lost", [True, False])
def test_a_damaged_mask_is_refused(results, tmp_path, is_lost):
    folder = shutil.copytree(results, tmp_path / "r")
    own = Store.open(folder / "s")
    slide = Store.open(results / "s")
    everything = Block((0, 0, 0), (0, 0, 0), slide.shape)
    assert own_foreground(slide, own).any(everything)
    shard = next(path for path in (folder / "s" / "0" / "c").rglob("*") if path.is_file())
    if is_lost:
        shard.unlink()
    else:
        spoil(shard, is_cut=False)
    with pytest.raises(InputError, match=f"{folder / 's'}: .*(is lost|damaged file)"):
        own_foreground(slide, own).any(everything)


def test_a_damaged_store_is_whole_again_after_what_the_message_says(results, tmp_path):
    folder = shutil.copytree(results, tmp_path / "r")
    shutil.rmtree(folder / "s" / "0")
    (folder / "s" / ROOT).unlink()
    write_segmentation(Store.open(folder / "p"), folder / "s", "k", Segmenting())
    read_all(folder / "s")
    for name in (ROOT, "0/c/0/0/0"):
        assert (folder / "s" / name).read_bytes() == (results / "s" / name).read_bytes()
