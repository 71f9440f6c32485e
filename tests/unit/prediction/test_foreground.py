"""Foreground: what real slides show is kept, what they do not is left out, pixel by pixel."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overtile.errors import InputError
from overtile.geometry.spans import Block
from overtile.ingest.pictures import write_picture
from overtile.ingest.references import write_reference
from overtile.prediction import foreground
from overtile.prediction.foreground import Foreground, find_foreground, own_foreground
from overtile.readers.opening import open_raw
from overtile.readers.raw import RawImage
from overtile.stores import layout
from overtile.stores.store import Store


def picture(pixels, folder) -> Store:
    """An array (c, z, y, x) as a store."""
    write_picture(RawImage(Path("made.tif"), pixels, (0, 1, 2, 3), None), folder, "k", None, None)
    return Store.open(folder)


def labels(pixels, folder) -> Store:
    """An array (z, y, x) as a label store."""
    raw = RawImage(Path("made.tif"), pixels[None], (0, 1, 2, 3), None)
    write_reference(raw, folder, "k", "binary", ["background", "foreground"], [0, 1], None, None)
    return Store.open(folder)


def whole(shape) -> Block:
    return Block((0, 0, 0), (0, 0, 0), tuple(shape))


def everywhere(found: Foreground) -> np.ndarray:
    """The mask of every pixel of the slide."""
    return found.read(whole(found.shape))


METHODS = ["otsu", "triangle"]


@pytest.fixture(scope="module")
def tissue(data):
    """A corner of a stained section on white glass, (3, 1, y, x)."""
    raw = open_raw(data / "wsi" / "CMU-1-Small-Region.svs")
    return raw.read((slice(0, 1), slice(0, 700), slice(1000, 1900)))


@pytest.fixture(scope="module")
def nuclei(data):
    """Fluorescent nuclei on black, (1, 1, y, x), and their labels, (1, y, x)."""
    folder = data / "nuclei_dsb2018" / "fluo"
    pixels, ids = (np.asarray(open_raw(f).array) for f in _pair(folder, "0e5edb072788"))
    return pixels.reshape(1, 1, *pixels.shape[-2:]), ids.reshape(1, *ids.shape[-2:])


def _pair(folder, name):
    return [next((folder / kind).glob(f"{name}*")) for kind in ("image", "label")]


@pytest.mark.parametrize("method", METHODS)
def test_all_nuclei_of_a_black_picture_are_foreground_and_most_of_the_black_is_not(
    nuclei, tmp_path, method
):
    pixels, ids = nuclei
    mask = everywhere(find_foreground(picture(pixels, tmp_path / "s"), method, 0))
    assert mask[ids > 0].all()
    assert mask.mean() < 0.25
    assert (ids > 0).mean() > 0.1


@pytest.mark.parametrize("method", METHODS)
def test_all_tissue_of_a_white_slide_is_foreground_and_what_is_left_out_is_white(
    tissue, tmp_path, method
):
    mask = everywhere(find_foreground(picture(tissue, tmp_path / "s"), method, 0))[0]
    darkest = tissue.min(axis=0)[0]
    assert mask[darkest < 150].all()
    assert (darkest[~mask] > 200).mean() > 0.99
    assert 0.1 < (darkest < 150).mean() < mask.mean() < 0.7


@pytest.mark.parametrize("method", METHODS)
def test_a_negative_has_the_same_foreground(tissue, tmp_path, method):
    small = tissue[..., ::3, ::3]
    one, other = (
        everywhere(find_foreground(picture(p, tmp_path / n), method, 0))
        for n, p in {"positive": small, "negative": 255 - small}.items()
    )
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("method", METHODS)
def test_a_coarser_overview_keeps_what_the_slide_shows(nuclei, tmp_path, monkeypatch, method):
    pixels, ids = nuclei
    monkeypatch.setattr(layout, "SMALLEST_LEVEL_PX", 64)
    monkeypatch.setattr(foreground, "OVERVIEW_PX", 100 * 100)
    slide = picture(pixels, tmp_path / "s")
    found = find_foreground(slide, method, 0)
    assert found.mask.shape == (1, 64, 64)
    mask = everywhere(found)
    assert mask[ids > 0].mean() > 0.99
    assert mask.mean() < 0.6


def test_the_overview_is_the_finest_level_that_is_small_enough(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "SMALLEST_LEVEL_PX", 16)
    slide = picture(np.pad(np.full((8, 8), 9, np.uint8), 60)[None, None], tmp_path / "s")
    for most_px, edge in [(128 * 128, 128), (128 * 128 - 1, 64), (64 * 64, 64), (1, 16)]:
        monkeypatch.setattr(foreground, "OVERVIEW_PX", most_px)
        assert find_foreground(slide, "otsu", 0).mask.shape == (1, edge, edge)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [0, 255])
def test_of_a_picture_of_one_colour_everything_is_foreground(tmp_path, method, value):
    slide = picture(np.full((3, 1, 30, 40), value, np.uint8), tmp_path / "s")
    assert everywhere(find_foreground(slide, method, value)).all()


def test_without_a_method_there_is_no_foreground(tmp_path):
    assert (
        find_foreground(picture(np.zeros((1, 1, 4, 4), np.uint8), tmp_path / "s"), "none", 0)
        is None
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize("fill_value", [0, 3])
def test_fill_leaves_out_only_what_is_filled_in_every_channel(tmp_path, dtype, fill_value):
    pixels = np.full((2, 1, 60, 70), fill_value, dtype)
    pixels[0, 0, 20:30, 40] = 7
    pixels[1, 0, 50, 5:9] = 1
    mask = everywhere(find_foreground(picture(pixels, tmp_path / "s"), "fill", fill_value))
    something = (pixels != fill_value).any(axis=0)
    assert mask[something].all()
    squares = np.zeros((60, 70), bool)  # one row of squares, two columns of 35 px
    for x in (0, 35):
        squares[:, x : x + 35] = something[0, :, x : x + 35].any()
    np.testing.assert_array_equal(mask[0], squares)


def test_of_a_slide_of_nothing_but_fill_nothing_is_foreground(tmp_path):
    slide = picture(np.full((1, 1, 30, 40), 255, np.uint8), tmp_path / "s")
    assert not everywhere(find_foreground(slide, "fill", 255)).any()
    assert everywhere(find_foreground(slide, "fill", 0)).all()


def test_fill_keeps_a_single_pixel_of_a_large_slide(tmp_path):
    pixels = np.zeros((1, 1, 300, 500), np.uint8)
    pixels[0, 0, 140, 270] = 1
    mask = everywhere(find_foreground(picture(pixels, tmp_path / "s"), "fill", 0))
    assert mask[0, 140, 270]
    assert 60**2 <= mask.sum() <= 64**2


def test_volumes_are_looked_at_plane_by_plane(tmp_path):
    pixels = np.zeros((1, 5, 20, 20), np.uint8)
    pixels[0, 2, 10, 10] = 9
    mask = everywhere(find_foreground(picture(pixels, tmp_path / "s"), "fill", 0))
    assert mask[2].all() and mask.sum() == mask[2].size


MASKED = st.tuples(st.integers(1, 4), st.integers(1, 30), st.integers(1, 30))


@st.composite
def masks(draw):
    """A mask of any resolution over a slide, and what it says of each of the slide's pixels."""
    shape = draw(MASKED)
    coarse = tuple(draw(st.integers(1, n)) for n in shape)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    mask = (rng.random(coarse) < draw(st.sampled_from([0.05, 0.5]))).astype(np.uint8)
    full = np.zeros(shape, bool)
    for place in np.ndindex(shape):
        full[place] = mask[tuple(i * m // n for i, m, n in zip(place, coarse, shape, strict=True))]
    return Foreground(mask, shape), full


@given(masks(), st.data())
@settings(max_examples=60, deadline=None)
def test_any_block_is_read_and_asked_for_as_in_the_mask_of_full_size(case, data):
    found, full = case
    start = [data.draw(st.integers(0, n - 1)) for n in full.shape]
    stop = [data.draw(st.integers(a + 1, n)) for a, n in zip(start, full.shape, strict=True)]
    block = Block((0, 0, 0), tuple(start), tuple(stop))
    part = found.read(block)
    assert part.dtype == bool
    np.testing.assert_array_equal(part, full[block.slices])
    before, after = ([data.draw(st.integers(0, 9)) for _ in full.shape] for _ in range(2))
    leaves = Block(
        (0, 0, 0),
        tuple(a - n for a, n in zip(start, before, strict=True)),
        tuple(b + n for b, n in zip(stop, after, strict=True)),
    )
    assert found.any(leaves) == found.read(_inside(leaves, full.shape)).any()


def _inside(block, shape):
    """The part of a block that lies in the slide."""
    return Block(
        block.index,
        tuple(max(0, a) for a in block.start),
        tuple(min(n, b) for b, n in zip(block.stop, shape, strict=True)),
    )


@pytest.mark.parametrize("factor", [1, 2, 5])
def test_an_own_mask_may_have_any_coarser_resolution(tmp_path, factor):
    slide = picture(np.zeros((1, 1, 60, 90), np.uint8), tmp_path / "s")
    coarse = np.zeros((1, 60 // factor, 90 // factor), np.uint8)
    coarse[0, 3:6, 4:] = 1
    mask = everywhere(own_foreground(slide, labels(coarse, tmp_path / "m")))
    np.testing.assert_array_equal(mask, np.kron(coarse, np.ones((1, factor, factor))) > 0)


def test_an_own_mask_is_taken_as_it_is_given(nuclei, tmp_path):
    pixels, ids = nuclei
    slide = picture(pixels, tmp_path / "s")
    found = own_foreground(slide, labels(ids, tmp_path / "m"))
    np.testing.assert_array_equal(everywhere(found), ids > 0)


@pytest.mark.parametrize("shape", [(1, 21, 30), (1, 20, 31), (2, 20, 30)])
def test_a_mask_larger_than_the_slide_is_refused(tmp_path, shape):
    slide = picture(np.zeros((1, 1, 20, 30), np.uint8), tmp_path / "s")
    with pytest.raises(InputError, match=r"m: mask is .* px, larger than the slide \(1, 20, 30\)"):
        own_foreground(slide, labels(np.ones(shape, np.uint8), tmp_path / "m"))
