"""Intensities as networks expect them: exact, however large an offset is."""

import numpy as np
import pytest

from overtile.networks.normalise import Normalised, normalise


def test_each_channel_is_normalised_by_its_own_statistics():
    pixels = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    found = normalise(pixels, [2.0, 10.0], [4.0, 0.5])
    assert found.dtype == np.float32
    assert np.array_equal(found[0], (np.arange(12).reshape(3, 4) - 2) / 4)
    assert np.array_equal(found[1], (np.arange(12, 24).reshape(3, 4) - 10) / 0.5)


def test_a_constant_channel_becomes_0():
    assert not normalise(np.full((1, 4), 7, np.uint8), [7.0], [0.0]).any()


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.float64])
def test_a_small_contrast_on_a_large_offset_is_kept(dtype):
    contrast = np.array([[0, 1, 2, 3, 4, 5]])
    found = normalise((contrast + 10**8).astype(dtype), [1e8], [2.0])
    assert np.array_equal(found, contrast / 2)


def test_a_box_of_a_normalised_picture_is_the_box_normalised():
    pixels = np.random.default_rng(0).integers(0, 99, (2, 3, 4, 5))
    picture = Normalised(pixels, [3.0, 5.0], [2.0, 7.0])
    whole = normalise(pixels, [3.0, 5.0], [2.0, 7.0])
    assert picture.shape == (2, 3, 4, 5)
    index = (slice(None), 1, slice(1, 3), slice(0, 4))
    assert np.array_equal(picture[index], whole[index])
