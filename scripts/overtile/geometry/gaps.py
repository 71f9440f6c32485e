"""Gaps between objects are closed again: what `borders.separate` cut for a network to learn."""

import numpy as np

from overtile.geometry.two_nearest import two_nearest_sum_and_nearest


def close_gaps(instances: np.ndarray, border_px: int) -> np.ndarray:
    """Let objects grow over the gaps between them: what `separate` cut away, and no more.

    A pixel of background lies in a gap if the gap from the nearest object to the second nearest is
    at most border_px pixels wide there: if d_1 + d_2 <= border_px + 1, distances between pixel
    centres, in pixels (voxels) whatever their edges. It then becomes part of an object in one of
    two ways:

    1. of the nearest one, if at most border_px face steps lead to it, all over pixels of the gap
       that have the same nearest object. Where two are nearest, that one counts whose pixel comes
       first in raster order.
    2. A pixel that is cut off in this sense becomes part of the object that its face neighbours
       belong to after the first step. Where there are several objects, the neighbour that comes
       first in raster order decides. If no neighbour belongs to any, the pixel stays background.

    - What an object gains shares faces with it, in a chain: no object falls into more
      face-connected pieces than it had. None loses a pixel.
    - Objects stay as they are where no other one is near.
    - A pixel depends on nothing further away than `halo_px`, along each axis.

    Parameters
    ----------
    instances : ndarray, (y, x) or (z, y, x), unsigned integers
        Ids of objects, 0 for background.
    border_px : int
        Width of the widest gap that is closed, px. 0 closes nothing.

    Returns
    -------
    ndarray, the same shape and dtype
        The objects, grown.

    Examples
    --------
    >>> close_gaps(np.array([[1, 1, 0, 0, 2, 0]], np.uint8), 2)
    array([[1, 1, 1, 2, 2, 0]], dtype=uint8)
    """
    if border_px == 0 or not instances.any():
        return instances
    spacing = (1.0,) * instances.ndim
    _, nearest = two_nearest_sum_and_nearest(instances, spacing, border_px + 1)
    padded = np.pad(np.ascontiguousarray(instances), 1)  # flat indices below need this order
    ids, nearest = padded.ravel(), np.pad(nearest, 1).ravel()
    strides = [stride // padded.itemsize for stride in padded.strides]
    steps = [*(-stride for stride in strides), *reversed(strides)]  # in raster order
    gap = np.flatnonzero((ids == 0) & (nearest > 0))
    gap = _grow(ids, nearest, gap, steps, border_px)
    ids[gap] = _first_neighbours(ids, gap, steps)
    return padded[(slice(1, -1),) * instances.ndim]


def halo_px(border_px: int) -> int:
    """Pixels beyond a block, along each axis, that `close_gaps` looks at.

    One step to a neighbour, border_px - 1 from there to the last pixel gained on the way to the
    object, and border_px from that one to its second nearest object: as d_1 is 1 at least, d_2 is
    border_px at most.

    Examples
    --------
    >>> halo_px(3)
    6
    """
    return 2 * border_px


def _grow(
    ids: np.ndarray, nearest: np.ndarray, gap: np.ndarray, steps: list[int], rounds: int
) -> np.ndarray:
    """Let pixels of the gap, by flat index, join their nearest object face by face, in place.

    In each round those join that share a face with the object as it was after the round before.
    Returns the pixels that have not joined.
    """
    for _ in range(rounds):
        joins = np.zeros(len(gap), bool)
        for step in steps:
            joins |= ids[gap + step] == nearest[gap]
        if not joins.any():
            break
        ids[gap[joins]] = nearest[gap[joins]]
        gap = gap[~joins]
    return gap


def _first_neighbours(ids: np.ndarray, pixels: np.ndarray, steps: list[int]) -> np.ndarray:
    """The id of the first face neighbour that has one, 0 where none has. Flat indices."""
    found = np.zeros(len(pixels), ids.dtype)
    for step in steps:
        found = np.where(found == 0, ids[pixels + step], found)
    return found
