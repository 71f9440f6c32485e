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
