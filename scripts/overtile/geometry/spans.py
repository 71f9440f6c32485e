"""Cut axes into tiles and pictures into blocks; read past a border by mirroring."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil

import numpy as np


@dataclass(frozen=True)
class Span:
    """A piece of one axis: what is read (keep plus halo, may leave the axis) and what is kept.

    All values in pixels, half-open, in coordinates of the whole axis.
    """

    read: tuple[int, int]
    keep: tuple[int, int]


@dataclass(frozen=True)
class Block:
    """A box of a picture: its place in the grid of blocks, and its half-open bounds in pixels."""

    index: tuple[int, ...]
    start: tuple[int, ...]
    stop: tuple[int, ...]

    @property
    def slices(self) -> tuple[slice, ...]:
        """The box as an index into the whole picture."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))

    @property
    def shape(self) -> tuple[int, ...]:
        """Edge lengths in pixels."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))


def plan_spans(length: int, tile: int, halo: int) -> list[Span]:
    """Cut one axis into tiles whose kept parts cover it exactly once.

    length, tile, halo in pixels; halo >= receptive-field radius, or seams show.
    Returns spans in increasing order, each `tile + 2 * halo` wide when read.
    Raises ValueError if length or tile < 1, or halo < 0.
    Source: overlap-tile strategy, Ronneberger et al. 2015, section 2, arXiv:1505.04597.
    """
    if length < 1 or tile < 1 or halo < 0:
        raise ValueError(
            f"length, tile and halo are {length}, {tile} and {halo} px; "
            "allowed: length >= 1, tile >= 1, halo >= 0"
        )
    return [
        Span(read=(start - halo, start + tile + halo), keep=(start, min(start + tile, length)))
        for start in range(0, length, tile)
    ]


def plan_blocks(shape: Sequence[int], block: Sequence[int]) -> list[Block]:
    """Cut a picture into blocks that cover it exactly once, in raster order.

    shape, block: edge lengths in pixels, one per axis; the last block of an axis may be shorter.
    """
    axes = [plan_spans(length, edge, 0) for length, edge in zip(shape, block, strict=True)]
    return [
        Block(
            index=tuple(i for i, _ in spans),
            start=tuple(span.keep[0] for _, span in spans),
            stop=tuple(span.keep[1] for _, span in spans),
        )
        for spans in product(*(list(enumerate(axis)) for axis in axes))
    ]


def mirror_indices(start: int, stop: int, length: int) -> np.ndarray:
    """Indices in [0, length) that a read of [start, stop) sees when the axis is mirrored.

    The border pixel itself is not repeated (as in `numpy.pad(mode="reflect")`); the mirror image
    repeats without end, so that a picture may be smaller than its halo. int64, (stop - start,).
    """
    if length == 1:
        return np.zeros(stop - start, dtype=np.int64)
    phase = np.mod(np.arange(start, stop, dtype=np.int64), 2 * (length - 1))
    return np.where(phase < length, phase, 2 * (length - 1) - phase)


def read_mirrored(
    array, start: Sequence[int], stop: Sequence[int], leading: tuple = ()
) -> np.ndarray:
    """Read the box [start, stop) of the last axes of an array, mirrored where it leaves them.

    array: anything that is indexed by slices and has a shape (NumPy, Zarr); only the part of it
    that the box needs is read. leading: index for the axes before the box's.
    """
    lengths = array.shape[len(array.shape) - len(start) :]
    wanted = [mirror_indices(a, b, n) for a, b, n in zip(start, stop, lengths, strict=True)]
    bounds = tuple(slice(int(i.min()), int(i.max()) + 1) for i in wanted)
    part = np.asarray(array[(*leading, *bounds)])
    first_axis = part.ndim - len(start)
    for axis, (indices, bound) in enumerate(zip(wanted, bounds, strict=True)):
        if len(indices) != bound.stop - bound.start or (np.diff(indices) != 1).any():
            part = np.take(part, indices - bound.start, axis=first_axis + axis)
    return part


def read_clipped(array, block: Block, halo: Sequence[int]) -> tuple[np.ndarray, tuple[slice, ...]]:
    """Read a block with a halo that ends at the picture's border.

    halo: pixels per axis. Returns the pixels, and where the block lies in them.
    """
    start = [max(0, a - h) for a, h in zip(block.start, halo, strict=True)]
    stop = [min(n, b + h) for b, h, n in zip(block.stop, halo, array.shape, strict=True)]
    part = np.asarray(array[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))])
    inner = tuple(
        slice(a - s, b - s) for a, b, s in zip(block.start, block.stop, start, strict=True)
    )
    return part, inner


def planes(shape: Sequence[int], ndim: int) -> Iterator[tuple[slice, ...]]:
    """The pieces of a (z, y, x) box that are independent for a network of 2 or 3 spatial axes."""
    if ndim == 3:
        yield tuple(slice(0, n) for n in shape)
        return
    for z in range(shape[0]):
        yield (slice(z, z + 1), slice(0, shape[1]), slice(0, shape[2]))


def halve(shape: Sequence[int], factors: Sequence[int]) -> tuple[int, ...]:
    """Shape of the next pyramid level: lengths divided by the factors, rounded up."""
    return tuple(ceil(n / f) for n, f in zip(shape, factors, strict=True))
