"""Stages after components or seeds: each makes ids of a block from those before, with a halo.

Each takes the ids before, the class map that they are of, and the settings.
"""

from functools import cached_property

import numpy as np

from overtile.geometry.flood import flood
from overtile.geometry.gaps import close_gaps, halo_px
from overtile.geometry.holes import HoleFinder, label_background
from overtile.geometry.spans import Block, read_clipped
from overtile.objects.class_map import ClassMap
from overtile.settings.segmentation import Segmenting
from overtile.stores.checked import Checked
from overtile.stores.subblocks import assemble, compute_by_subblock, subblocks, whole


class FloodedSeeds:
    """Ids after seeds have flooded their surroundings."""

    def __init__(self, seeds: Checked, class_map: ClassMap, settings: Segmenting):
        self._seeds, self._class_map, self._grow_px = seeds, class_map, settings.grow_px
        self.shape = class_map.shape

    def ids(self, block: Block) -> np.ndarray:
        """Ids of a block of any size."""
        return assemble(block, self.shape[0] == 1, self._flood, self._seeds.dtype)

    def _flood(self, subblock: Block) -> np.ndarray:
        halo = (self._grow_px,) * 3
        seeds, inner = read_clipped(self._seeds, subblock, halo)
        if not seeds.any():
            return seeds[inner]
        probabilities, _ = read_clipped(self._class_map, subblock, halo)
        classes = self._class_map.classes_of(probabilities)
        foreground = self._class_map.foreground_of(probabilities)
        return flood(foreground, classes, seeds, self._grow_px)[inner]


class FilledHoles:
    """Ids after holes have been given to the objects around them."""

    def __init__(self, before: Checked, class_map: ClassMap, settings: Segmenting):
        self._before, self._max_hole_px = before, settings.max_hole_px
        self.shape = class_map.shape

    @cached_property
    def _owners(self) -> dict[tuple[int, ...], np.ndarray]:
        finder = HoleFinder(self.shape, self._max_hole_px)
        for subblock in subblocks(whole(self.shape), self.shape[0] == 1):
            finder.add(subblock, self._read(subblock))
        return finder.owners()

    def _read(self, subblock: Block) -> np.ndarray:
        """The ids of a subblock and of one more pixel at its far sides."""
        return self._before[
            tuple(slice(a, b + 1) for a, b in zip(subblock.start, subblock.stop, strict=True))
        ]

    def ids(self, block: Block) -> np.ndarray:
        """Ids of a block of any size."""

        def fill(subblock: Block) -> np.ndarray:
            ids = self._read(subblock)
            owners = self._owners[subblock.index].astype(ids.dtype)
            return (ids + owners[label_background(ids)])[tuple(slice(n) for n in subblock.shape)]

        return assemble(block, self.shape[0] == 1, fill, self._before.dtype)


class ClosedGaps:
    """Ids after gaps between objects have been closed."""

    def __init__(self, before: Checked, _: ClassMap, settings: Segmenting):
        self._before, self._border_px = before, settings.border_px
        self._ndim = 2 if before.shape[0] == 1 else 3

    def ids(self, block: Block) -> np.ndarray:
        """Ids of a block of any size."""
        halo = (halo_px(self._border_px),) * 3

        def close(ids: np.ndarray) -> np.ndarray:
            return close_gaps(ids, self._border_px)

        before = self._before
        return compute_by_subblock(before, block, halo, self._ndim, close, before.dtype)
