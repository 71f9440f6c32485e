"""Damaged stores: what Zarr would read as zeros is noticed."""

import shutil

import numpy as np
import pytest

from overtile.errors import InputError
from overtile.geometry.spans import Block
from overtile.images.raw import RawImage
from overtile.inference.foreground import find_foreground, own_foreground
from overtile.inference.label_tiff import write_tiff
from overtile.inference.objects import measure_objects
from overtile.inference.outlines import outline_objects
from overtile.inference.segment import write_segmentation
from overtile.inference.segmenting import Segmenting
from overtile.stores import layout
from overtile.stores.digest import digest_pixels, digest_zeros
from overtile.stores.ingest import write_picture
from overtile.stores.ngff import multiscale_attributes
from overtile.stores.store import ROOT, Store
from overtile.stores.undamaged import Checked, refuse_incomplete
from overtile.stores.writer import StoreWriter


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
    with pytest.raises(InputError, match=r"s: has NaN or infinite pixels near .* = \(1, 4, 0\)"):
        checked[:, 1, 4:, :]


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
    writer.fill("0", lambda block: (pixels[(slice(None), *block.slices)], {}), "p")
    ome = multiscale_attributes("p", "czyx", [(1, 1, 1)], None, is_label=False)
    names = ["background", "cell"]
    writer.commit(ome, pixel_size_um=None, class_names=names, scale=1 / 255)
    write_segmentation(Store.open(folder / "p"), folder / "s", "k", Segmenting())
    return folder


@pytest.mark.parametrize("name", ["p", "s", "s/classes"])
def test_lost_probabilities_labels_and_classes_are_named(results, tmp_path, name):
    folder = shutil.copytree(results, tmp_path / "r")
    refuse_incomplete(Store.open(folder / name))
    next(path for path in (folder / name / "0" / "c").rglob("*") if path.is_file()).unlink()
    with pytest.raises(InputError, match=f"{folder / name}: its file 0/c/0.0.0 is lost"):
        refuse_incomplete(Store.open(folder / name))


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
    refuse_incomplete(Store.open(folder / "s"))
    for name in (ROOT, "0/c/0/0/0"):
        assert (folder / "s" / name).read_bytes() == (results / "s" / name).read_bytes()
