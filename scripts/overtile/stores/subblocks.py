"""Compute a block of any size by subblocks: besides the block itself, memory does not grow."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import DTypeLike

from overtile.geometry.spans import Block, plan_blocks, planes, read_clipped
from overtile.stores import layout


def subblocks(block: Block, is_picture: bool) -> list[Block]:
    """Cut a block into subblocks as large as the smallest shard, in raster order.

    is_picture: whether the array has one plane only. A shard is a whole number of subblocks, so
    that indices count the subblocks of the whole array.
    """
    size = layout.PICTURE_SHARD if is_picture else layout.VOLUME_SHARD
    return [
        Block(
            tuple(a // n + i for a, n, i in zip(block.start, size, place.index, strict=True)),
            tuple(a + b for a, b in zip(block.start, place.start, strict=True)),
            tuple(a + b for a, b in zip(block.start, place.stop, strict=True)),
        )
        for place in plan_blocks(block.shape, size)
    ]


def whole(shape: Sequence[int]) -> Block:
    """An array as one block."""
    return Block((0,) * len(shape), (0,) * len(shape), tuple(shape))


def inside(subblock: Block, block: Block) -> tuple[slice, ...]:
    """Where a subblock lies in its block."""
    return tuple(
        slice(a - s, b - s)
        for a, b, s in zip(subblock.start, subblock.stop, block.start, strict=True)
    )


def assemble(
    block: Block, is_picture: bool, compute: Callable[[Block], np.ndarray], dtype: DTypeLike
) -> np.ndarray:
    """A block made of its subblocks."""
    result = np.empty(block.shape, dtype)
    for subblock in subblocks(block, is_picture):
        result[inside(subblock, block)] = compute(subblock)
    return result


def compute_by_subblock(
    array,
    block: Block,
    halo: Sequence[int],
    ndim: int,
    compute: Callable[[np.ndarray], np.ndarray],
    dtype: DTypeLike,
) -> np.ndarray:
    """A block (z, y, x) of what `compute` makes of an array and its surroundings.

    array: (z, y, x), read with a halo in pixels per axis that ends at the picture's border. ndim:
    2 gives `compute` planes (y, x), 3 volumes (z, y, x); it returns as many pixels, of which the
    halo is cut away. Subblocks are as large as the smallest shard.
    """

    def compute_subblock(subblock: Block) -> np.ndarray:
        part, inner = read_clipped(array, subblock, halo)
        values = np.empty(part.shape, dtype)
        for plane in planes(part.shape, ndim):
            values[plane] = compute(part[plane] if ndim == 3 else part[plane][0])
        return values[inner]

    return assemble(block, array.shape[0] == 1, compute_subblock, dtype)
