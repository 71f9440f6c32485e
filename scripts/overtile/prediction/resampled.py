"""A slide as a network expects it: with pixels of its training size, made when read."""

from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor

import numpy as np

from overtile.geometry.resampling import nearest_box, resample_box, resampled_length
from overtile.geometry.spans import Block, plan_blocks
from overtile.ingest.pictures import block_statistics, mean_and_std
from overtile.stores.layout import PICTURE_SHARD, VOLUME_SHARD
from overtile.stores.store import Store
from overtile.stores.subblocks import inside, subblocks

ALIKE = 1 + 1e-6
"""Ratios so close differ by how sizes were written down."""


@dataclass(frozen=True)
class Scaling:
    """From a slide's pixels to those of a network, and back.

    slide_px: shape of the slide, (z, y, x) px. ratio: edges (z, y, x) of the network's pixels in
    pixels of the slide; 1 along axes that the network does not see.
    """

    slide_px: tuple[int, int, int]
    ratio: tuple[float, float, float]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the slide in the network's pixels, (z, y, x)."""
        z, y, x = (resampled_length(n, r) for n, r in zip(self.slide_px, self.ratio, strict=True))
        return z, y, x

    @property
    def back(self) -> tuple[float, float, float]:
        """Edges (z, y, x) of the slide's pixels in pixels of the network."""
        z, y, x = (1 / r for r in self.ratio)
        return z, y, x

    def reach(self, block: Block) -> Block:
        """The pixels of the slide into which a block of the network's pixels is brought back."""
        low, high = [], []
        for a, b, r, n in zip(block.start, block.stop, self.ratio, self.slide_px, strict=True):
            # How far from a centre `geometry.resampling.taps` look, in the network's pixels.
            halo = max(1.0, 1 / r) if r != 1 else 0.0
            low.append(min(n - 1, max(0, floor((a - halo + 0.5) * r - 0.5))))
            high.append(min(n, max(low[-1] + 1, ceil((b - 1 + halo + 0.5) * r - 0.5) + 1)))
        return Block(block.index, tuple(low), tuple(high))


class Resampled:
    """A slide's pixels in a network's size, (c, z, y, x) float; read by boxes, never held whole.

    Where pixels get larger they are means: from the coarsest level of the slide's pyramid that is
    still as fine as wanted, so that a box costs no more however much larger they get. Any box has
    the bytes of the same part of the whole.
    """

    def __init__(self, image: Store, scaling: Scaling):
        self._image, self._scaling = image, scaling
        self._level, factors = choose_level(image, scaling.ratio)
        self._ratio = tuple(r / f for r, f in zip(scaling.ratio, factors, strict=True))
        self.shape = (image.array.shape[0], *scaling.shape)

    @cached_property
    def _array(self):
        return self._image.level(self._level)

    def __getitem__(self, index: tuple) -> np.ndarray:
        """A box by four indices (c, z, y, x): slices, of which z may be a number."""
        channels, *box = index
        bounds = [
            (b, b + 1) if isinstance(b, int) else b.indices(n)[:2]
            for b, n in zip(box, self.shape[1:], strict=True)
        ]
        made = resample_box(self._array, self._ratio, *zip(*bounds, strict=True))
        keep = [0 if isinstance(b, int) else slice(None) for b in box]
        return made[(channels, *keep)]

    def statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel, as if the slide had such pixels.

        Means over larger pixels deviate less: a slide normalised by its own fine pixels would be
        paler than those that the network was trained on. Where no axis gets larger the slide's own
        are taken. Reads the slide once.
        """
        if max(self._scaling.ratio) <= 1:
            return self._image.mean, self._image.std
        blocks = plan_blocks(self.shape[1:], PICTURE_SHARD if self.shape[1] == 1 else VOLUME_SHARD)
        boxes = ((slice(None), *block.slices) for block in blocks)
        return mean_and_std([block_statistics(self[box]) for box in boxes])


def choose_level(image: Store, ratio: tuple[float, ...]) -> tuple[int, tuple[int, ...]]:
    """The coarsest pyramid level as fine as wanted along each axis, and its (z, y, x) factors."""
    scales = [
        dataset["coordinateTransformations"][0]["scale"][-3:]
        for dataset in image.attributes["ome"]["multiscales"][0]["datasets"]
    ]
    best = 0, (1, 1, 1)
    for level, scale in enumerate(scales):
        factors = tuple(round(s / first) for s, first in zip(scale, scales[0], strict=True))
        if all(f <= max(1, r * ALIKE) for f, r in zip(factors, ratio, strict=True)):
            best = level, factors
    return best


def bring_back(array, scaling: Scaling, block: Block, keep: str) -> np.ndarray:
    """A block of the slide, (channels, z, y, x) uint8, from a prediction in the network's pixels.

    array: (channels, *scaling.shape) uint8. keep: see `settings.prediction.Wanted`; "classes" takes
    the nearest class, as names have no mean. The same bytes for a pixel, whatever the block.
    Memory: besides the block itself, that of a piece as large as the smallest shard.
    """
    result = np.empty((array.shape[0], *block.shape), np.uint8)
    for piece in subblocks(block, scaling.slide_px[0] == 1):
        values = resample_box(array, scaling.back, piece.start, piece.stop)
        place = inside(piece, block)
        result[(slice(None), *place)] = np.rint(values, out=values)
        if keep == "classes":
            nearest = nearest_box(array, scaling.back, piece.start, piece.stop)
            result[0][place] = nearest[0]
    return result
