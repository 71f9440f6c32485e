"""One plane of a slide at one level of its pyramid.

A plane is (y, x), or (y, x, 3) in colour; of a volume it is the middle one if no other is named.
"""

import numpy as np

from overtile.stores.store import Store

EDGE_PX = 1024

Box = tuple[slice, slice]
WHOLE: Box = (slice(None), slice(None))


def overview_level(store: Store) -> int:
    """The finest level whose longer edge is at most 1024 px, or the coarsest there is."""
    edges = (max(shape[-2:]) for shape in store.shapes)
    return next((n for n, edge in enumerate(edges) if edge <= EDGE_PX), store.levels - 1)


def read_plane(store: Store, level: int, box: Box = WHOLE, z: int | None = None) -> np.ndarray:
    """A plane of a level: labels and grey (y, x), three channels (y, x, 3).

    Of a picture with two or more than three channels only the first. z: plane of level 0, None
    for the middle one.
    """
    array = store.level(level)
    z = (store.shape[0] // 2 if z is None else z) * array.shape[-3] // store.shape[0]
    if array.ndim == 3:
        return np.asarray(array[z, *box])
    if array.shape[0] == 3:
        return np.moveaxis(np.asarray(array[:, z, *box]), 0, -1)
    return np.asarray(array[0, z, *box])


def read_labels(store: Store | None, level: int, box: Box = WHOLE) -> np.ndarray | None:
    """The middle plane of labels, or None where there are none."""
    return None if store is None else read_plane(store, level, box)


def contrast_limits(plane: np.ndarray) -> tuple[float, float]:
    """Intensities shown as black and white: 1st and 99.5th percentile.

    Three channels of 8 bits stay as they are: stains are known by their colours.
    """
    if plane.ndim == 3 and plane.dtype == np.uint8:
        return 0.0, 255.0
    low, high = np.percentile(plane, (1, 99.5))
    return float(low), float(high) if high > low else float(low) + 1
