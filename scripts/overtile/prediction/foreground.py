"""Where a slide has anything to look at, found at low resolution: background costs nothing."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from overtile.errors import InputError
from overtile.geometry.spans import Block
from overtile.stores.store import Store

OVERVIEW_PX = 2048 * 2048
SQUARE_PX = 64
MARGIN_PX = 2
"""Pixels, of the overview, by which foreground is widened."""


@dataclass(frozen=True)
class Foreground:
    """A mask of any resolution over a slide: nonzero (z, y, x) where there is something.

    mask: an array. shape: of the slide, (z, y, x) px.
    """

    mask: np.ndarray
    shape: tuple[int, int, int]

    def any(self, block: Block) -> bool:
        """Whether there is something in a block of the slide, which may leave it."""
        return bool(np.any(self.mask[self._box(block)[0]]))

    def read(self, block: Block) -> np.ndarray:
        """The mask of each pixel of a block inside the slide, (z, y, x) bool."""
        box, places = self._box(block)
        part = np.asarray(self.mask[box]) != 0
        return part[np.ix_(*places)]

    def _box(self, block: Block) -> tuple[tuple[slice, ...], list[np.ndarray]]:
        """The part of the mask under a block, and the place in it of each of its pixels."""
        box, places = [], []
        for start, stop, n, m in zip(
            block.start, block.stop, self.shape, self.mask.shape, strict=True
        ):
            pixels = np.arange(max(0, start), min(n, stop), dtype=np.int64) * m // n
            box.append(slice(int(pixels[0]), int(pixels[-1]) + 1))
            places.append(pixels - pixels[0])
        return tuple(box), places


def find_foreground(image: Store, method: str, fill_value: float) -> Foreground | None:
    """The foreground of a slide, from its pyramid; None for everywhere.

    method: none; fill, squares of about 64 px with a pixel that is not fill_value in some channel;
    otsu and triangle, the thresholds of scikit-image on how much pixels of a small level differ
    from the median of the slide's edge, taken for background (Otsu 1979,
    DOI 10.1109/TSMC.1979.4310076; Zack et al. 1977, DOI 10.1177/25.7.70454), widened by two pixels
    of that level.
    """
    if method == "none":
        return None
    if method == "fill":
        return Foreground(FilledSquares(image.array, fill_value), image.shape)
    pixels = image.level(_overview(image))[:].astype(np.float32)
    sides = [pixels[..., [0, -1], :], pixels[..., [0, -1]]]
    edge = np.concatenate([side.reshape(len(pixels), -1) for side in sides], axis=1)
    background = np.median(edge, axis=1).reshape(-1, 1, 1, 1)
    mask = _threshold(np.abs(pixels - background).max(axis=0), method)
    widened = ndimage.binary_dilation(mask, np.ones((1, 3, 3), bool), iterations=MARGIN_PX)
    return Foreground(widened, image.shape)


class FilledSquares:
    """A mask (z, y, x) with a pixel for each square of a slide; read by boxes from full size.

    array: (c, z, y, x). True where a pixel of the square is not fill_value in some channel.
    """

    def __init__(self, array, fill_value: float):
        self._array, self._fill_value = array, fill_value
        z, y, x = array.shape[1:]
        self.shape = (z, -(-y // SQUARE_PX), -(-x // SQUARE_PX))

    def __getitem__(self, box: tuple[slice, ...]) -> np.ndarray:
        edges = [
            [-(-i * n // m) for i in range(side.start, side.stop + 1)]
            for side, n, m in zip(box, self._array.shape[1:], self.shape, strict=True)
        ]
        pixels = self._array[(slice(None), *(slice(e[0], e[-1]) for e in edges))]
        mask = (pixels != self._fill_value).any(axis=0)
        for axis, places in enumerate(edges):
            starts = [place - places[0] for place in places[:-1]]
            mask = np.logical_or.reduceat(mask, starts, axis=axis)
        return mask


def _threshold(difference: np.ndarray, method: str) -> np.ndarray:
    from skimage import filters

    if difference.max() == difference.min():
        return np.ones(difference.shape, dtype=bool)
    find = {"otsu": filters.threshold_otsu, "triangle": filters.threshold_triangle}[method]
    return difference > find(difference)


def own_foreground(image: Store, mask: Store) -> Foreground:
    """The foreground that a person or program gave, at any resolution of the same view.

    Raises InputError for a mask that is larger than the slide, or damaged.
    """
    for edge, other in zip(mask.shape, image.shape, strict=True):
        if edge > other:
            raise InputError(
                f"{mask.shown}: mask is {mask.shape} (z, y, x) px, larger than the slide "
                f"{image.shape}; give one of the same size or smaller"
            )
    return Foreground(mask.array, image.shape)


def _overview(image: Store) -> int:
    """The finest level of at most 4 million pixels, or the coarsest there is."""
    sizes = [np.prod(shape[1:]) for shape in image.shapes]
    return next((n for n, size in enumerate(sizes) if size <= OVERVIEW_PX), image.levels - 1)
