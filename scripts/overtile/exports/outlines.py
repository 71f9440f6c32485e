"""Polygons of all objects of a slide, block by block."""

from collections.abc import Iterator

import numpy as np

from overtile.geometry.outlines import Chains, join, trace
from overtile.geometry.polygons import Polygons, make_polygons
from overtile.geometry.spans import Block, read_clipped
from overtile.objects.measurements import Objects, reading_blocks
from overtile.progress import progress
from overtile.stores.store import Store


def outline_objects(labels: Store, objects: Objects) -> Iterator[Polygons]:
    """Polygons of the objects, those together that the same block finishes, plane by plane.

    objects: of the same labels; their bounding boxes tell when an object is finished. Every pixel
    is read once, and its neighbours in the next block. Memory: a block, its outlines, and the
    outlines so far of objects that reach into blocks still to come, 8 bytes per corner: those
    that cross the lower border of a row of blocks, and an object as large as the slide with all of
    its outline.
    """
    blocks, ids = reading_blocks(labels), labels.array
    grid = np.array(blocks[-1].index) + 1
    edges = np.array(blocks[0].shape)
    waiting: dict[int, list[Chains]] = {}
    with progress(len(blocks), label="outline objects") as advance:
        for number, block in enumerate(blocks):
            chains = trace(read_framed(ids, block), block.start, labels.shape)
            last = _last_blocks(objects, chains.owners, block, edges, grid)
            for place in np.unique(last):
                waiting.setdefault(int(place), []).append(
                    chains.take(np.flatnonzero(last == place))
                )
            if number in waiting:
                yield make_polygons(join(Chains.joined(waiting.pop(number))))
            advance()


def _last_blocks(
    objects: Objects, ids: np.ndarray, block: Block, edges: np.ndarray, grid: np.ndarray
) -> np.ndarray:
    """Number of the block that finishes each id in the planes of a block."""
    corner = (objects.sums.high[-2:, objects.rows(ids)] - 1) // edges[1:, None]
    return (block.index[0] * grid[1] + corner[0]) * grid[2] + corner[1]


def read_framed(array, block: Block) -> np.ndarray:
    """A block with one pixel more on each side in y and x, 0 beyond the picture."""
    part, inner = read_clipped(array, block, (0, 1, 1))
    missing = [
        (1 - place.start, 1 - (n - place.stop))
        for place, n in zip(inner[1:], part.shape[1:], strict=True)
    ]
    return np.pad(part, [(0, 0), *missing])
