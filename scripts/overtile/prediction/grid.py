"""Tiles of a slide, and how they are read and put together into batches."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, cast

import numpy as np

from overtile.geometry.spans import Block, plan_blocks, read_mirrored
from overtile.networks.family import Geometry


class TileTooLarge(Exception):
    """A tile does not fit into the device's memory; smaller ones may."""


class Network(Protocol):
    """What tiles are predicted by; of one whose tiles are exact, only a call is asked for.

    Raises TileTooLarge for a batch of which not even a single tile fits into the device's memory.
    """

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Normalised (n, c, *input_px) float32 to (n, channels, *output_px): what is stored."""

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """The same before rounding, float32: values that may be averaged."""

    def stored(self, values: np.ndarray) -> np.ndarray:
        """What is stored of such values, both (channels, *px)."""


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


def read_tiles(geometry: Geometry, image, leading: tuple, tiles: Sequence[Block]) -> np.ndarray:
    """The pixels that the output of some tiles depends on, (n, c, *input_px).

    tiles: of one shape. image: normalised pixels, (c, *leading, *px), mirrored at its borders.
    """
    parts = []
    for tile in tiles:
        input_px, _ = geometry.sizes_for(tile.shape)
        corner = [a - m for a, m in zip(tile.start, geometry.margin_px, strict=True)]
        end = [c + n for c, n in zip(corner, input_px, strict=True)]
        parts.append(read_mirrored(image, corner, end, (slice(None), *leading)))
    return np.stack(parts)


def read_ahead(
    geometry: Geometry, image, leading: tuple, tiles: Sequence[Block], batch_tiles: int
) -> Iterator[tuple[list[Block], np.ndarray]]:
    """Batches of tiles with their pixels; the next one is read while one is used."""
    groups = list(batches(tiles, batch_tiles))
    with ThreadPoolExecutor(1) as reader:
        reads = (reader.submit(read_tiles, geometry, image, leading, g) for g in groups)
        coming = next(reads, None)
        for group in groups:
            pixels, coming = cast(Future, coming).result(), next(reads, None)
            yield group, pixels
            del pixels


def overlap(
    start: Sequence[int], stop: Sequence[int], tile: Block
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where a tile lies in the box [start, stop), and which part of the tile that is."""
    low = [max(a, t) for a, t in zip(start, tile.start, strict=True)]
    high = [min(b, t) for b, t in zip(stop, tile.stop, strict=True)]
    return _box(low, high, start), _box(low, high, tile.start)


def _box(low: Sequence[int], high: Sequence[int], origin: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(a - o, b - o) for a, b, o in zip(low, high, origin, strict=True))
