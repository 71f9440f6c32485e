"""Whether a prediction shows where its tiles meet."""

from collections.abc import Sequence

import numpy as np

from overtile.geometry.spans import plan_blocks


def seam_score(array, borders: Sequence[set[int]], not_seen: int | None = None) -> dict:
    """Compare steps between neighbouring pixels across tile borders with those inside tiles.

    array: (c, z, y, x) uint8, read one shard at a time. borders: for each of z, y and x, the first
    pixels of tiles. Returns the mean absolute step `across` borders and `inside` tiles, over all
    channels and along the axes that have borders, and their quotient `score`: about 1 without
    seams; None where there is no border, or no step inside. not_seen: in all channels of a pixel
    at which no tile has looked, so that a step to it says nothing of seams and is not counted.
    """
    totals = np.zeros((2, 2), dtype=np.int64)  # across or not; sum of steps, number of steps
    for block in plan_blocks(array.shape[1:], array.shards[1:]):
        stop = [min(b + 1, n) for b, n in zip(block.stop, array.shape[1:], strict=True)]
        part = array[(slice(None), *(slice(a, b) for a, b in zip(block.start, stop, strict=True)))]
        for axis, starts in enumerate(borders):
            if starts:
                totals += _steps(part, axis, block, starts, not_seen)
    (across, pairs), (inside, others) = totals.tolist()
    if not pairs or not others or not inside:
        return {"across": None, "inside": None, "score": None}
    return {
        "across": across / pairs,
        "inside": inside / others,
        "score": (across / pairs) / (inside / others),
    }


def _steps(
    part: np.ndarray, axis: int, block, starts: set[int], not_seen: int | None
) -> np.ndarray:
    """Sums and numbers of steps along an axis, (across borders or not, sum and number) int64.

    part: the block with one more pixel at the end of each axis, where the picture goes on.
    """
    own = tuple(slice(None) if n == axis else slice(0, edge) for n, edge in enumerate(block.shape))
    values = np.moveaxis(part[(slice(None), *own)], axis + 1, 0)
    high, low = np.maximum(values[1:], values[:-1]), np.minimum(values[1:], values[:-1])
    is_seen = (values != not_seen).any(axis=1, keepdims=True)
    counts = is_seen[1:] & is_seen[:-1]
    sums = np.where(counts, high - low, 0).sum(axis=(1, 2, 3), dtype=np.int64)
    pairs = counts.sum(axis=(1, 2, 3)) * values.shape[1]
    is_border = np.isin(block.start[axis] + 1 + np.arange(len(sums)), list(starts))
    return np.array([[n[which].sum() for n in (sums, pairs)] for which in (is_border, ~is_border)])
