"""Sums over the pixels of each object, from which areas, centres and boxes follow.

Everything is added up in whole numbers, run by run along the rows: no order of blocks, and no way
of cutting them, changes a single bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from overtile.geometry.compiled import compiled

NO_CLASS = 255
FARTHEST = np.iinfo(np.int32).max


@dataclass(frozen=True)
class ObjectSums:
    """What is known of n objects, one column each; axes are the last 2 or 3 of z, y, x.

    area_px: (n,) int64. place_sums: (axes, n) int64, pixel indices added up. low, high: (axes, n)
    int32, half-open bounding box in pixels. classes: (n,) uint8, the lowest class of its pixels,
    which in a label store is the class of them all. value_sums: (n,) int64, values of its own
    class added up, or of length 0 without values. 41 bytes per object of a picture and 57 of a
    volume, and 8 more with values.
    """

    area_px: np.ndarray
    place_sums: np.ndarray
    low: np.ndarray
    high: np.ndarray
    classes: np.ndarray
    value_sums: np.ndarray

    @classmethod
    def zeros(cls, count: int, axes: int, has_values: bool) -> "ObjectSums":
        """Sums over no pixels yet of `count` objects."""
        return cls(
            area_px=np.zeros(count, np.int64),
            place_sums=np.zeros((axes, count), np.int64),
            low=np.full((axes, count), FARTHEST, np.int32),
            high=np.zeros((axes, count), np.int32),
            classes=np.full(count, NO_CLASS, np.uint8),
            value_sums=np.zeros(count if has_values else 0, np.int64),
        )

    def add(
        self,
        ids: np.ndarray,
        known_ids: np.ndarray | None,
        classes: np.ndarray,
        values: np.ndarray | None,
        start: Sequence[int],
    ) -> None:
        """Add the pixels of one block.

        ids: (z, y, x), 0 = background. known_ids: of the objects, increasing; None if they are 1
        to n. classes: (z, y, x) uint8. values: (c, z, y, x) uint8, one plane per class, or None.
        start: (z, y, x) of the block in the picture, px.
        Raises ValueError for an id that is not known.
        """
        if known_ids is None and ids.size and ids.max() > len(self.area_px):
            raise ValueError(f"id is {ids.max()}; allowed: up to {len(self.area_px)}")
        _add(
            ids,
            ids[0, 0, :0] if known_ids is None else known_ids,
            known_ids is not None,
            classes,
            np.zeros((0, 0, 0, 0), np.uint8) if values is None else values,
            np.asarray(start, np.int64),
            self.area_px,
            self.place_sums,
            self.low,
            self.high,
            self.classes,
            self.value_sums,
        )


@compiled
def _add(
    ids, known, has_known, classes, values, start, area, place_sums, low, high, lowest, value_sums
):
    first_axis = 3 - len(place_sums)
    depth, height, width = ids.shape
    place = np.empty(3, np.int64)
    for z in range(depth):
        for y in range(height):
            x = 0
            while x < width:
                own, begin = ids[z, y, x], x
                while x < width and ids[z, y, x] == own:
                    x += 1
                if own == 0:
                    continue
                row = np.searchsorted(known, own) if has_known else np.int64(own) - 1
                place[0], place[1], place[2] = z + start[0], y + start[1], begin + start[2]
                count = x - begin
                area[row] += count
                for axis in range(len(place_sums)):
                    at = place[axis + first_axis]
                    is_last = axis + first_axis == 2
                    place_sums[axis, row] += at * count + (count * (count - 1) // 2) * is_last
                    low[axis, row] = min(low[axis, row], at)
                    high[axis, row] = max(high[axis, row], at + (count if is_last else 1))
                for i in range(begin, x):
                    kind = classes[z, y, i]
                    lowest[row] = min(lowest[row], kind)
                    if values.shape[0]:
                        value_sums[row] += values[kind, z, y, i]
