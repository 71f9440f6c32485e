"""Connected components of pictures that come in blocks."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from overtile.geometry.spans import Block

IGNORE = 255
"""Class of pixels that nobody is scored or trained on."""


def label_block(classes: np.ndarray) -> np.ndarray:
    """Face-connected components of equal foreground class within one block.

    classes: (z, y, x) uint8; 0 is background and `IGNORE` is left out. Returns int64 labels from 1
    in raster order of their first pixel, 0 elsewhere.
    """
    labels = np.zeros(classes.shape, dtype=np.int64)
    count = 0
    for value in np.unique(classes):
        if value in (0, IGNORE):
            continue
        part, found = ndimage.label(classes == value)
        inside = part > 0
        labels[inside] = part[inside] + count
        count += found
    return labels


def first_pixels(labels: np.ndarray, block: Block, shape: Sequence[int]) -> np.ndarray:
    """Raster index, in the whole picture, of the first pixel of each label 1..n of a block."""
    found, first = np.unique(labels, return_index=True)
    local = np.unravel_index(first[found > 0], labels.shape)
    place = [axis + start for axis, start in zip(local, block.start, strict=True)]
    return np.ravel_multi_index(place, tuple(shape)).astype(np.int64)


@dataclass
class Stitcher:
    """Joins the components of blocks over the faces between them.

    Blocks are added in raster order; only the faces that still wait for their neighbour are kept.
    Ids do not depend on the block size: objects are numbered by their first pixel in raster order.
    """

    shape: tuple[int, ...]
    _count: int = 0
    _ranges: dict[tuple[int, ...], tuple[int, int]] = field(default_factory=dict)
    _first: list[np.ndarray] = field(default_factory=list)
    _sizes: list[np.ndarray] = field(default_factory=list)
    _pairs: list[np.ndarray] = field(default_factory=list)
    _faces: dict[tuple[int, tuple[int, ...]], tuple[np.ndarray, np.ndarray]] = field(
        default_factory=dict
    )

    def add(self, block: Block, labels: np.ndarray, classes: np.ndarray) -> None:
        """Register the components of one block (labels from `label_block` of its classes)."""
        first = first_pixels(labels, block, self.shape)
        offset = self._count
        self._count += len(first)
        self._ranges[block.index] = (offset, self._count)
        self._first.append(first)
        self._sizes.append(np.bincount(labels.ravel(), minlength=len(first) + 1)[1:])
        ids = np.where(labels > 0, labels + offset, 0)
        for axis in range(len(self.shape)):
            waiting = self._faces.pop((axis, block.index), None)
            if waiting is not None:
                self._join(waiting, (ids.take(0, axis), classes.take(0, axis)))
            if block.stop[axis] < self.shape[axis]:
                after = tuple(i + (a == axis) for a, i in enumerate(block.index))
                self._faces[axis, after] = (ids.take(-1, axis), classes.take(-1, axis))

    def _join(self, near: tuple[np.ndarray, ...], far: tuple[np.ndarray, ...]) -> None:
        touching = (near[0] > 0) & (far[0] > 0) & (near[1] == far[1])
        pairs = np.stack([near[0][touching], far[0][touching]]) - 1
        self._pairs.append(np.unique(pairs, axis=1))

    def numbering(self, min_px: int = 0) -> tuple[dict[tuple[int, ...], np.ndarray], int]:
        """Final ids, and how many objects there are.

        Ids: for each block's index an array whose entry n is the id of label n; entry 0 is 0.
        Objects of fewer than `min_px` pixels in all blocks together get id 0.
        """
        first = np.concatenate([np.empty(0, dtype=np.int64), *self._first])
        pairs = np.concatenate([np.empty((2, 0), dtype=np.int64), *self._pairs], axis=1)
        graph = coo_array(
            (np.ones(pairs.shape[1], dtype=bool), (pairs[0], pairs[1])),
            shape=(len(first), len(first)),
        )
        count, root = connected_components(graph, directed=False) if len(first) else (0, first)
        earliest = np.full(count, np.iinfo(np.int64).max)
        np.minimum.at(earliest, root, first)
        sizes = np.concatenate([np.empty(0, dtype=np.int64), *self._sizes])
        kept = np.bincount(root, weights=sizes, minlength=count) >= min_px
        order = np.argsort(earliest, kind="stable")
        order = order[kept[order]]
        rank = np.zeros(count, dtype=np.int64)
        rank[order] = np.arange(1, len(order) + 1)
        ids = rank[root]
        by_block = {
            index: np.concatenate([[0], ids[start:stop]])
            for index, (start, stop) in self._ranges.items()
        }
        return by_block, len(order)
