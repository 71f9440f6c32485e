"""Smaller copies: means of pictures, picks of labels, at the places their metadata says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from overtile.stores import layout
from overtile.stores.pyramid import add_pyramid, block_mean, first_of_block
from overtile.stores.writer import StoreWriter

FACTORS = st.tuples(*[st.integers(1, 2)] * 3)
PIXELS = arrays(np.int16, st.tuples(*[st.integers(1, 5)] * 4), elements=st.integers(-99, 99))


@given(PIXELS, FACTORS)
def test_a_mean_is_that_of_each_box_padded_by_its_last_pixel(pixels, factors):
    from skimage.measure import block_reduce

    missing = [-n % f for n, f in zip(pixels.shape[1:], factors, strict=True)]
    padded = np.pad(pixels, [(0, 0), *((0, m) for m in missing)], mode="edge")
    expected = block_reduce(padded.astype(float), (1, *factors), np.mean)
    np.testing.assert_array_equal(block_mean(pixels, factors), np.rint(expected))
    np.testing.assert_allclose(block_mean(pixels.astype(np.float32), factors), expected, rtol=1e-6)


@given(PIXELS, FACTORS)
def test_reduced_labels_hold_only_ids_that_were_there(pixels, factors):
    small = first_of_block(pixels, factors)
    assert small.shape == block_mean(pixels, factors).shape
    assert set(np.unique(small)) <= set(np.unique(pixels))


def test_a_mean_by_hand():
    picture = np.array([[[0, 1, 10], [3, 4, 20]]], dtype=np.uint8)
    np.testing.assert_array_equal(block_mean(picture, (1, 2, 2)), [[[2, 15]]])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.float32])
def test_the_extremes_of_a_dtype_survive_their_mean(dtype):
    limits = np.finfo(dtype) if np.dtype(dtype).kind == "f" else np.iinfo(dtype)
    for value in (limits.min, limits.max):
        picture = np.full((1, 4, 4), value, dtype=dtype)
        np.testing.assert_array_equal(block_mean(picture, (1, 2, 2)), picture[:, :2, :2])


@pytest.mark.parametrize(("is_label", "reduce"), [(False, block_mean), (True, first_of_block)])
def test_levels_written_in_blocks_equal_those_of_the_whole_picture(
    tmp_path, monkeypatch, is_label, reduce
):
    monkeypatch.setattr(layout, "PICTURE_CHUNK", (1, 4, 4))
    monkeypatch.setattr(layout, "PICTURE_SHARD", (1, 8, 8))
    monkeypatch.setattr(layout, "SMALLEST_LEVEL_PX", 8)
    picture = np.random.default_rng(0).integers(0, 1000, (1, 27, 33)).astype(np.uint16)
    writer = StoreWriter(tmp_path / "s", "k", "labels")
    writer.add_array("0", picture.shape, picture.dtype, "zyx")
    writer.fill("0", lambda block: (picture[block.slices], {}), label="picture")
    factors = add_pyramid(writer, "zyx", None, is_label)
    assert factors == [(1, 1, 1), (1, 2, 2), (1, 4, 4), (1, 8, 8)]
    level = picture
    for number in (1, 2, 3):
        level = reduce(level, (1, 2, 2))
        np.testing.assert_array_equal(writer.array(str(number))[:], level)
