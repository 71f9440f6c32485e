"""Intensities as networks expect them."""

from collections.abc import Sequence

import numpy as np


def normalise(pixels: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Zero mean and unit variance per channel by the whole slide's statistics, float32.

    pixels: (c, ...); mean, std: one per channel, of the slide, not of the tile: every tile of a
    slide is treated alike, so that no seams arise. A constant channel becomes 0.
    """
    column = (len(pixels),) + (1,) * (pixels.ndim - 1)
    spread = np.reshape([s or 1.0 for s in std], column)
    return ((pixels - np.reshape(mean, column)) / spread).astype(np.float32)
