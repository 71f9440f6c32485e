"""Prediction by overlapping tiles with Gaussian weights, where tiles do not equal the whole."""

from collections.abc import Callable, Sequence
from functools import lru_cache, reduce
from itertools import product
from math import ceil

import numpy as np

from overtile.errors import InputError
from overtile.geometry.spans import Block
from overtile.networks.family import Geometry
from overtile.planning.plan import Plan
from overtile.prediction.grid import TileTooLarge, overlap, read_ahead

SIGMA = 1 / 8
"""Width of the Gaussian, in edges of a tile."""


def blend_box(
    probabilities: Callable[[np.ndarray], np.ndarray],
    geometry: Geometry,
    image,
    leading: tuple,
    start: Sequence[int],
    stop: Sequence[int],
    tile_px: Sequence[int],
    batch_tiles: int = 1,
    wanted: Callable[[Block], bool] = lambda tile: True,
) -> np.ndarray | None:
    """Weighted mean of all tiles that reach into the box [start, stop), (channels, *box) float32.

    probabilities: from pixels (n, c, *input_px) to values (n, channels, *output_px) float32. The
    other arguments, and None, are as in `tiles.predict_box`; a pixel without any wanted tile is 0.
    Tiles lie on one grid of the slide (see `blending_tiles`), and are summed in raster order: the
    result depends on tile_px alone, not on how a slide is divided into boxes. A slide no larger
    than a tile is seen at once. Raises InputError if a tile does not fit into the device's memory:
    smaller ones would give other values.

    Whatever tiles say, blending adds no step higher than 8 / edge between neighbouring pixels
    (0.02 for 388 px), where hard-edged tiles add up to 1: no seams. How far the result is from the
    whole slide in one pass depends on the network and the slide, as tiles see other statistics. On
    an EM slice of 512 px, trained on tiles of 96 px: 0.055 on average, and 6 % of pixels of another
    class; 0.034 and 3.5 % in tiles of 192 px. Hard-edged tiles are as far away.
    Source: sliding window of nnU-Net, Isensee et al. 2021, DOI 10.1038/s41592-020-01008-z.
    """
    total = None
    tiles = blending_tiles(geometry, image.shape[-len(start) :], start, stop, tile_px)
    tiles = [tile for tile in tiles if wanted(tile)]
    for batch, pixels in read_ahead(geometry, image, leading, tiles, batch_tiles):
        try:
            outputs = probabilities(pixels)
        except TileTooLarge:
            raise InputError(_too_large(batch[0])) from None
        if total is None:
            edges = [b - a for a, b in zip(start, stop, strict=True)]
            total = np.zeros((outputs.shape[1], *edges), np.float32)
            weights = np.zeros(edges, np.float32)
        gaussian = _gaussian(batch[0].shape)
        for tile, output in zip(batch, outputs, strict=True):
            place, part = overlap(start, stop, tile)
            total[(slice(None), *place)] += output[(slice(None), *part)] * gaussian[part]
            weights[place] += gaussian[part]
    if total is None:
        return None
    return np.divide(total, weights, out=total, where=weights > 0)


def blending_tile_px(plan: Plan, block_px: int | None = None) -> tuple[int, ...]:
    """Output edges of a blended model's tiles: those of training, or block_px along each axis.

    They never follow from memory, as they decide the result.
    """
    if block_px is not None:
        return (block_px,) * plan.geometry.ndim
    return plan.tile_output_px


def blending_tiles(
    geometry: Geometry,
    shape: Sequence[int],
    start: Sequence[int],
    stop: Sequence[int],
    tile_px: Sequence[int],
) -> list[Block]:
    """Tiles of a slide's one grid that reach into the box [start, stop), in raster order.

    shape: of the slide. The grid begins at 0; its step is half a tile, rounded down to the
    network's stride. All tiles have one shape, and the last ones may leave the slide. An edge is
    the network's least that holds tile_px; it is at least two strides, so that neighbours overlap,
    and no longer than the slide needs.
    """
    edges, steps = _edges_and_steps(geometry, shape, tile_px)
    tiles = []
    for index in product(*map(_reaching, shape, edges, steps, start, stop)):
        corner = tuple(i * step for i, step in zip(index, steps, strict=True))
        end = tuple(c + edge for c, edge in zip(corner, edges, strict=True))
        tiles.append(Block(index, corner, end))
    return tiles


def blending_borders(
    geometry: Geometry, shape: Sequence[int], tile_px: Sequence[int]
) -> list[set[int]]:
    """For each of a slide's axes, the pixels where a tile begins or the first one after its end.

    Seams would be there; see `seams.seam_score`.
    """
    borders = []
    for n, edge, step in zip(shape, *_edges_and_steps(geometry, shape, tile_px), strict=True):
        starts = [i * step for i in _reaching(n, edge, step, 0, n)]
        borders.append({p for start in starts for p in (start, start + edge) if 0 < p < n})
    return borders


def _reaching(length: int, edge: int, step: int, start: int, stop: int) -> range:
    """Which tiles of an axis reach into [start, stop)."""
    last = max(0, ceil((length - edge) / step))
    return range(max(0, (start - edge) // step + 1), min(last, (stop - 1) // step) + 1)


def _edges_and_steps(
    geometry: Geometry, shape: Sequence[int], tile_px: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    stride = geometry.stride
    least = (min(n, max(t, 2 * s)) for n, t, s in zip(shape, tile_px, stride, strict=True))
    _, edges = geometry.sizes_for(tuple(least))
    return edges, tuple(max(s, e // 2 // s * s) for e, s in zip(edges, stride, strict=True))


@lru_cache(4)
def _gaussian(shape: tuple[int, ...]) -> np.ndarray:
    """Weights of the pixels of a tile, float32, 1 in the middle and never 0.

    A profile falls to exp(-8) = 0.0003 at its ends, so that no floor is needed. A floor on their
    product would give all tiles along the border of a slide the same weight there, and thus seams.
    """
    profiles = []
    for edge in shape:
        from_middle = np.arange(edge) - (edge - 1) / 2
        profiles.append(np.exp(-0.5 * (from_middle / (SIGMA * edge)) ** 2).astype(np.float32))
    return reduce(np.multiply.outer, profiles)


def _too_large(tile: Block) -> str:
    edges = " x ".join(map(str, tile.shape))
    return (
        f"prediction.block_px: a tile of {edges} px does not fit into the device's memory; this "
        "model's tiles are blended, so smaller tiles would give another result; lower "
        "prediction.block_px (--block-px), or use a device with more memory"
    )
