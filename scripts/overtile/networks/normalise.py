"""Intensities as networks expect them."""

from collections.abc import Sequence

import numpy as np


def normalise(pixels: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Zero mean and unit variance per channel by the whole slide's statistics, float32.

    Parameters
    ----------
    pixels : numpy.ndarray
        (c, ...), of any dtype.
    mean, std : sequence of float
        One per channel, of the slide, not of the tile: every tile of a slide is treated alike, so
        that no seams arise.

    Returns
    -------
    numpy.ndarray
        (c, ...) float32; 0 for a constant channel.

    Examples
    --------
    >>> normalise(np.array([[3, 5, 7]]), [5.0], [2.0]).tolist()
    [[-1.0, 0.0, 1.0]]
    """
    normalised = np.empty(pixels.shape, np.float32)
    for channel, (values, centre, spread) in enumerate(zip(pixels, mean, std, strict=True)):
        exact = np.subtract(values, centre, dtype=np.float64)  # of one channel at a time: 8 bytes
        exact /= spread or 1.0
        normalised[channel] = exact
    return normalised


class Normalised:
    """A slide's pixels, (c, z, y, x) float32, normalised when read: what a network sees.

    image: of the slide, or a view of it at another pixel size. mean, std: one per channel. Training
    and prediction read pixels through this class alone, so that both see the same.
    """

    def __init__(self, image, mean: Sequence[float], std: Sequence[float]):
        self._image, self._mean, self._std = image, mean, std
        self.shape = image.shape

    def __getitem__(self, index: tuple) -> np.ndarray:
        return normalise(self._image[index], self._mean, self._std)
