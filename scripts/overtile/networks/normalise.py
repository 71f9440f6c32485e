"""Intensities as networks expect them."""

from collections.abc import Sequence

import numpy as np


def normalise(pixels: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Zero mean and unit variance per channel by the whole slide's statistics, float32.

    pixels: (c, ...); mean, std: one per channel, of the slide, not of the tile: every tile of a
    slide is treated alike, so that no seams arise. A constant channel becomes 0.
    """
    normalised = np.empty(pixels.shape, np.float32)
    for channel, (values, centre, spread) in enumerate(zip(pixels, mean, std, strict=True)):
        exact = np.subtract(values, centre, dtype=np.float64)  # of one channel at a time: 8 bytes
        exact /= spread or 1.0
        normalised[channel] = exact
    return normalised


class Normalised:
    """A slide's pixels, (c, z, y, x) float32, normalised when read: what a network sees.

    array: of the slide, or a view of it at another pixel size. mean, std: one per channel. Training
    and prediction read pixels through this class alone, so that both see the same.
    """

    def __init__(self, array, mean: Sequence[float], std: Sequence[float]):
        self._array, self._mean, self._std = array, mean, std
        self.shape = array.shape

    def __getitem__(self, index: tuple) -> np.ndarray:
        return normalise(self._array[index], self._mean, self._std)
