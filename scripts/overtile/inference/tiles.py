"""Overlap-tile prediction: any box of a slide, equal to the network on the whole slide."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from overtile.geometry.spans import Block, plan_blocks, planes, read_mirrored
from overtile.networks.architecture import Architecture

Network = Callable[[np.ndarray], np.ndarray]
"""From normalised pixels (n, c, *input_px) float32 to (n, channels, *output_px) of any dtype."""


class TileTooLarge(Exception):
    """A tile does not fit into the device's memory; smaller ones may."""


def tile_grid(
    start: Sequence[int], stop: Sequence[int], tile_px: Sequence[int], stride: Sequence[int]
) -> list[Block]:
    """Tiles that cover the box [start, stop) and begin at multiples of the network's stride.

    tile_px, one edge per axis, is rounded down to such multiples. Only then does pooling fall on
    the same pixels as in the whole picture, and tiles equal the whole.
    """
    origin = [a - a % s for a, s in zip(start, stride, strict=True)]
    edge = [max(s, t - t % s) for t, s in zip(tile_px, stride, strict=True)]
    return [
        Block(
            tile.index,
            tuple(t + o for t, o in zip(tile.start, origin, strict=True)),
            tuple(t + o for t, o in zip(tile.stop, origin, strict=True)),
        )
        for tile in plan_blocks([b - o for b, o in zip(stop, origin, strict=True)], edge)
    ]


def batches(tiles: Sequence[Block], size: int) -> Iterator[list[Block]]:
    """Neighbouring tiles of one shape, at most `size` together."""
    batch: list[Block] = []
    for tile in tiles:
        if batch and (len(batch) == size or tile.shape != batch[0].shape):
            yield batch
            batch = []
        batch.append(tile)
    if batch:
        yield batch


def predict_box(
    network: Network,
    architecture: Architecture,
    array,
    leading: tuple,
    start: Sequence[int],
    stop: Sequence[int],
    tile_px: Sequence[int],
    batch_tiles: int = 1,
    wanted: Callable[[Block], bool] = lambda tile: True,
) -> np.ndarray | None:
    """What the network says of the box [start, stop) of the last axes, (channels, *box).

    array: normalised pixels, (c, *leading, *px); it is mirrored at its own borders only. The
    network's axes are those of the box; leading indexes the axes between c and them. Tiles that
    are not wanted stay 0; None if no tile is. Equal to running the network once over the whole
    mirrored picture. A tile that is too large for the device is cut into halves.
    """
    result = None
    tiles = tile_grid(start, stop, tile_px, architecture.stride)
    for batch in batches([tile for tile in tiles if wanted(tile)], batch_tiles):
        try:
            outputs = network(
                np.stack([_read_tile(architecture, array, leading, tile) for tile in batch])
            )
        except TileTooLarge:
            outputs = None
        if outputs is None:  # only here is what the failed tile took free again
            outputs = [_in_halves(network, architecture, array, leading, tile) for tile in batch]
        if result is None:
            shape = [b - a for a, b in zip(start, stop, strict=True)]
            result = np.zeros((len(outputs[0]), *shape), outputs[0].dtype)
        for tile, output in zip(batch, outputs, strict=True):
            low = [max(a, t) for a, t in zip(start, tile.start, strict=True)]
            high = [min(b, t) for b, t in zip(stop, tile.stop, strict=True)]
            source = _box(low, high, tile.start)
            result[(slice(None), *_box(low, high, start))] = output[(slice(None), *source)]
    return result


def _read_tile(architecture: Architecture, array, leading: tuple, tile: Block) -> np.ndarray:
    """The pixels that a tile's output depends on, (c, *input_px)."""
    input_px, _ = architecture.sizes_for(tile.shape)
    corner = [a - m for a, m in zip(tile.start, architecture.margin_px, strict=True)]
    end = [c + n for c, n in zip(corner, input_px, strict=True)]
    return read_mirrored(array, corner, end, (slice(None), *leading))


def _in_halves(
    network: Network, architecture: Architecture, array, leading: tuple, tile: Block
) -> np.ndarray:
    """A tile predicted in smaller ones; TileTooLarge if it cannot be cut any more."""
    halves = [max(s, n // 2) for n, s in zip(tile.shape, architecture.stride, strict=True)]
    grid = tile_grid(tile.start, tile.stop, halves, architecture.stride)
    if len(grid) == 1:
        raise TileTooLarge(f"a tile of {tile.shape} px does not fit into the device's memory")
    return predict_box(network, architecture, array, leading, tile.start, tile.stop, halves)


def _box(low: Sequence[int], high: Sequence[int], origin: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(a - o, b - o) for a, b, o in zip(low, high, origin, strict=True))


def predict_block(
    network: Network,
    architecture: Architecture,
    array,
    block: Block,
    tile_px: Sequence[int],
    batch_tiles: int = 1,
    wanted: Callable[[Block], bool] = lambda tile: True,
) -> np.ndarray | None:
    """What the network says of one (z, y, x) block of a slide, (channels, z, y, x).

    A network of two axes runs plane by plane. wanted: of tiles as (z, y, x) blocks.
    """
    ndim = architecture.ndim
    result = None
    for piece in planes(block.shape, ndim):
        z = block.start[0] + piece[0].start
        leading = (z,) if ndim == 2 else ()

        def wanted_here(tile: Block, z: int = z) -> bool:
            if ndim == 3:
                return wanted(tile)
            return wanted(Block(tile.index, (z, *tile.start), (z + 1, *tile.stop)))

        box = predict_box(
            *(network, architecture, array, leading, block.start[-ndim:], block.stop[-ndim:]),
            *(tile_px, batch_tiles, wanted_here),
        )
        if box is None:
            continue
        if result is None:
            result = np.zeros((len(box), *block.shape), box.dtype)
        place = (slice(None), *piece)
        result[place] = box.reshape(result[place].shape)
    return result
