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

    Parameters
    ----------
    length : int
        Of the axis, px.
    tile : int
        What is kept of each tile, px.
    halo : int
        What is read at each side besides, px; at least the radius of the receptive field, or seams
        show.

    Returns
    -------
    list of Span
        In increasing order, each tile + 2 halo wide when read.

    Raises
    ------
    ValueError
        If length or tile is below 1, or halo below 0.

    References
    ----------
    Overlap-tile strategy, Ronneberger et al. 2015, section 2, arXiv:1505.04597.

    Examples
    --------
    >>> plan_spans(5, tile=3, halo=1)
    [Span(read=(-1, 4), keep=(0, 3)), Span(read=(2, 7), keep=(3, 5))]
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
    """Cut a picture into blocks that cover it exactly once.

    Parameters
    ----------
    shape, block : sequence of int
        Edges of the picture and of a block, px, one per axis.

    Returns
    -------
    list of Block
        In raster order; the last block of an axis may be shorter.

    Examples
    --------
    >>> [b.slices for b in plan_blocks((2, 5), (2, 3))]
    [(slice(0, 2, None), slice(0, 3, None)), (slice(0, 2, None), slice(3, 5, None))]
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

    The border pixel itself is not repeated (as in `numpy.pad(mode="reflect")`). The mirror image
    repeats without end, so that a picture may be smaller than its halo.

    Parameters
    ----------
    start, stop : int
        What is read, px, half-open; it may leave the axis.
    length : int
        Of the axis, px.

    Returns
    -------
    ndarray, (stop - start,), int64
        The pixels that are seen.

    Examples
    --------
    >>> mirror_indices(-2, 5, 3).tolist()
    [2, 1, 0, 1, 2, 1, 0]
    """
    if length == 1:
        return np.zeros(stop - start, dtype=np.int64)
    phase = np.mod(np.arange(start, stop, dtype=np.int64), 2 * (length - 1))
    return np.where(phase < length, phase, 2 * (length - 1) - phase)


def read_mirrored(
    array, start: Sequence[int], stop: Sequence[int], leading: tuple = ()
) -> np.ndarray:
    """Read the box [start, stop) of the last axes of an array, mirrored where it leaves them.

    Parameters
    ----------
    array : array
        Anything that is indexed by slices and has a shape (NumPy, Zarr); only what the box needs is
        read.
    start, stop : sequence of int
        Of the last axes, px, half-open.
    leading : tuple
        Index for the axes before the box's.

    Returns
    -------
    ndarray, (..., *(stop - start)), dtype of array
        The pixels.

    Examples
    --------
    >>> read_mirrored(np.arange(4), (-2,), (3,)).tolist()
    [2, 1, 0, 1, 2]
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

    Parameters
    ----------
    array : array
        Indexed by slices, of as many axes as the block.
    block : Block
        What is wanted.
    halo : sequence of int
        Pixels per axis.

    Returns
    -------
    pixels : ndarray, dtype of array
        The block and its halo.
    inner : tuple of slice
        Where the block lies in them.

    Examples
    --------
    >>> pixels, inner = read_clipped(np.arange(6), Block((0,), (0,), (2,)), (1,))
    >>> pixels.tolist(), inner
    ([0, 1, 2], (slice(0, 2, None),))
    """
    start = [max(0, a - h) for a, h in zip(block.start, halo, strict=True)]
    stop = [min(n, b + h) for b, h, n in zip(block.stop, halo, array.shape, strict=True)]
    part = np.asarray(array[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))])
    inner = tuple(
        slice(a - s, b - s) for a, b, s in zip(block.start, block.stop, start, strict=True)
    )
    return part, inner


def planes(shape: Sequence[int], ndim: int) -> Iterator[tuple[slice, ...]]:
    """The parts of a box that are independent for a network of 2 or 3 spatial axes.

    Parameters
    ----------
    shape : sequence of int
        (z, y, x) of the box, px.
    ndim : int
        2 for planes, 3 for the box as a whole.

    Yields
    ------
    tuple of slice
        (z, y, x).

    Examples
    --------
    >>> list(planes((2, 4, 4), 2))[1]
    (slice(1, 2, None), slice(0, 4, None), slice(0, 4, None))
    """
    if ndim == 3:
        yield tuple(slice(0, n) for n in shape)
        return
    for z in range(shape[0]):
        yield (slice(z, z + 1), slice(0, shape[1]), slice(0, shape[2]))


def halve(shape: Sequence[int], factors: Sequence[int]) -> tuple[int, ...]:
    """Shape of the next pyramid level: lengths divided by the factors, rounded up.

    Examples
    --------
    >>> halve((1, 5, 8), (1, 2, 2))
    (1, 3, 4)
    """
    return tuple(ceil(n / f) for n, f in zip(shape, factors, strict=True))
