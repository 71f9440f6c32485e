"""Overlap-tile prediction: any box of a slide, equal to the network on the whole slide."""

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np

from overtile.geometry.spans import Block, planes
from overtile.networks.family import Geometry
from overtile.prediction.blend import blend_box
from overtile.prediction.grid import Network, TileTooLarge, overlap, read_ahead, tile_grid


def predict_box(
    network: Network,
    geometry: Geometry,
    image,
    leading: tuple,
    start: Sequence[int],
    stop: Sequence[int],
    tile_px: Sequence[int],
    batch_tiles: int = 1,
    wanted: Callable[[Block], bool] = lambda tile: True,
) -> np.ndarray | None:
    """What the network says of the box [start, stop) of the last axes, (channels, *box).

    image: normalised pixels, (c, *leading, *px); it is mirrored at its own borders only. The
    network's axes are those of the box; leading indexes the axes between c and them. Tiles that
    are not wanted stay 0; None if no tile is. Equal to running the network once over the whole
    mirrored image, if tiles are exact. A tile that is too large for the device is cut into halves.
    """
    result = None
    tiles = tile_grid(start, stop, tile_px, geometry.stride)
    tiles = [tile for tile in tiles if wanted(tile)]
    for batch, pixels in read_ahead(geometry, image, leading, tiles, batch_tiles):
        try:
            outputs = list(network(pixels))
        except TileTooLarge:
            outputs = []
        if not outputs:  # only here is what the failed tile took free again
            outputs = [_in_halves(network, geometry, image, leading, tile) for tile in batch]
        if result is None:
            shape = [b - a for a, b in zip(start, stop, strict=True)]
            result = np.zeros((len(outputs[0]), *shape), outputs[0].dtype)
        for tile, output in zip(batch, outputs, strict=True):
            place, part = overlap(start, stop, tile)
            result[(slice(None), *place)] = output[(slice(None), *part)]
    return result


def _in_halves(
    network: Network, geometry: Geometry, image, leading: tuple, tile: Block
) -> np.ndarray:
    """A tile predicted in smaller ones; TileTooLarge if it cannot be cut any more."""
    halves = [max(s, n // 2) for n, s in zip(tile.shape, geometry.stride, strict=True)]
    grid = tile_grid(tile.start, tile.stop, halves, geometry.stride)
    if len(grid) == 1:
        raise TileTooLarge(f"a tile of {tile.shape} px does not fit into the device's memory")
    box = (tile.start, tile.stop)
    return cast(np.ndarray, predict_box(network, geometry, image, leading, *box, halves))


def predict_block(
    network: Network,
    geometry: Geometry,
    image,
    block: Block,
    tile_px: Sequence[int],
    batch_tiles: int = 1,
    wanted: Callable[[Block], bool] = lambda tile: True,
) -> np.ndarray | None:
    """What is stored of one (z, y, x) block of a slide, (channels, z, y, x).

    A network of two axes runs plane by plane. Where tiles are not exact they are blended. wanted:
    of tiles as (z, y, x) blocks, which may leave the slide where tiles are blended.
    """
    ndim = geometry.ndim
    result = None
    for piece in planes(block.shape, ndim):
        z = block.start[0] + piece[0].start
        leading = (z,) if ndim == 2 else ()

        def wanted_here(tile: Block, z: int = z) -> bool:
            if ndim == 3:
                return wanted(tile)
            return wanted(Block(tile.index, (z, *tile.start), (z + 1, *tile.stop)))

        where = (geometry, image, leading, block.start[-ndim:], block.stop[-ndim:])
        how = (tile_px, batch_tiles, wanted_here)
        if geometry.is_exact:
            box = predict_box(network, *where, *how)
        else:
            box = blend_box(network.probabilities, *where, *how)
            box = None if box is None else network.stored(box)
        if box is None:
            continue
        if result is None:
            result = np.zeros((len(box), *block.shape), box.dtype)
        place = (slice(None), *piece)
        result[place] = box.reshape(result[place].shape)
    return result
