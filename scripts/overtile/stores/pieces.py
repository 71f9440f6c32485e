"""Compute a block of any size piece by piece: besides the block itself, memory does not grow."""

from collections.abc import Callable, Sequence

import numpy as np

from overtile.geometry.spans import Block, plan_blocks, planes, read_clipped
from overtile.stores import layout


def compute_in_pieces(
    array,
    block: Block,
    halo: Sequence[int],
    ndim: int,
    compute: Callable[[np.ndarray], np.ndarray],
    dtype: np.dtype,
) -> np.ndarray:
    """A block (z, y, x) of what `compute` makes of an array and its surroundings.

    array: (z, y, x), read with a halo in pixels per axis that ends at the picture's border. ndim:
    2 gives `compute` planes (y, x), 3 volumes (z, y, x); it returns as many pixels, of which the
    halo is cut away. Pieces are as large as the smallest shard.
    """
    result = np.empty(block.shape, dtype)
    size = layout.PICTURE_SHARD if array.shape[0] == 1 else layout.VOLUME_SHARD
    for place in plan_blocks(block.shape, size):
        start = tuple(a + b for a, b in zip(block.start, place.start, strict=True))
        stop = tuple(a + b for a, b in zip(block.start, place.stop, strict=True))
        part, inner = read_clipped(array, Block(place.index, start, stop), halo)
        made = np.empty(part.shape, dtype)
        for piece in planes(part.shape, ndim):
            made[piece] = compute(part[piece] if ndim == 3 else part[piece][0])
        result[place.slices] = made[inner]
    return result
