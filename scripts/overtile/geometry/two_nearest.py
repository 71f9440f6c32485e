"""Exact distances to the nearest and the second nearest cell, in time linear in pixels.

The distance transform of Felzenszwalb and Huttenlocher (2012, "Distance transforms of sampled
functions", DOI 10.4086/toc.2012.v008a019) takes the axes one by one and finds, along each line,
the lower envelope of parabolas. Here each pixel carries two candidates instead of one: its nearest
cell, and the nearest other cell. No more are needed: a third one in the same place has two nearer
cells beside it, from wherever it is seen.

The second envelope is found run by run. In a run of pixels with the same nearest cell, only the
places from the winner just before the run to the winner just after it can hold the second nearest
cell, as any place beyond loses to that winner everywhere in the run. Neighbouring runs share no
more than one stretch of places, so that all runs together look at each place about twice, however
many cells there are.
"""

import math
from collections.abc import Sequence

import numpy as np

from overtile.geometry.compiled import compiled

LINES = 16
"""Neighbouring lines that are copied together where an axis is not contiguous in memory."""


def two_nearest_sum(instances: np.ndarray, spacing: Sequence[float], reach: float) -> np.ndarray:
    """d_1 + d_2: the distances to the nearest and to the second nearest cell, up to `reach`.

    Distances are Euclidean, between pixel centres; inside a cell its own distance is 0. Squared
    edges are rounded to float32, so that all sums of squares are exact in float64: a value depends
    on nothing but the cells within reach, to the last bit.

    Parameters
    ----------
    instances : ndarray, (y, x) or (z, y, x), any integers
        0 is background, and all pixels of another number are one cell, in however many pieces.
    spacing : sequence of float
        Pixel edges per axis, in the unit of reach.
    reach : float
        Largest sum that is told.

    Returns
    -------
    ndarray, the same shape, float32
        inf beyond reach and where there is no second cell.

    Examples
    --------
    >>> two_nearest_sum(np.array([[1, 0, 0, 2]]), (1.0, 1.0), 9.0)
    array([[3., 3., 3., 3.]], dtype=float32)
    """
    return two_nearest_sum_and_nearest(instances, spacing, reach)[0]


def two_nearest_sum_and_nearest(
    instances: np.ndarray, spacing: Sequence[float], reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """d_1 + d_2 as `two_nearest_sum`, and the number of the nearest cell.

    Where several cells are nearest, that one is named whose nearest pixel comes first in raster
    order: it depends on where cells are, not on their numbers, nor on where a block begins.

    Parameters
    ----------
    instances, spacing, reach
        As of `two_nearest_sum`.

    Returns
    -------
    sums : ndarray, the same shape, float32
        As of `two_nearest_sum`.
    nearest : ndarray, the same shape, uint32
        0 where the sum is inf; uint64 for instances of more than 4 bytes.

    Examples
    --------
    >>> instances = np.array([[1, 0, 0, 2]], np.uint8)
    >>> two_nearest_sum_and_nearest(instances, (1.0, 1.0), 9.0)[1]
    array([[1, 1, 2, 2]], dtype=uint32)
    """
    edges2 = [float(np.float32(edge**2)) for edge in spacing]
    limit = reach**2
    shape = instances.shape
    distances, ids = _sweep_rows(_as_unsigned(instances), edges2[-1], limit)
    for axis in range(len(shape) - 2, -1, -1):
        lines = (math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))
        place = (distances.reshape(2, *lines), ids.reshape(lines))
        _sweep_axis(*place, edges2[axis], limit, axis == 0)
    sums = distances[0].reshape(shape).astype(np.float32)
    is_far = sums > reach
    sums[is_far] = np.inf
    nearest = ids.reshape(shape)
    nearest[is_far] = 0
    return sums, nearest


def _as_unsigned(instances: np.ndarray) -> np.ndarray:
    """Rows, as uint32, or uint64 where numbers may need it: one compiled function for each."""
    wide = instances.dtype.itemsize > 4
    rows = np.array(instances, dtype=np.uint64 if wide else np.uint32, order="C")
    return rows.reshape(-1, instances.shape[-1])


@compiled
def _sweep_rows(rows, edge2, limit):
    """The two nearest cells of each pixel in its own row.

    Squared distances, (2, rows, n), inf further away than the limit, and the nearest cell's id.
    Nobody needs the id of the second: it is another one, that is all.
    """
    n = rows.shape[1]
    distances = np.full((2, *rows.shape), np.inf)
    ids = np.zeros(rows.shape, rows.dtype)
    line, line_ids = np.full((2, n), np.inf), np.zeros(n, rows.dtype)
    found, found_ids = line.copy(), line_ids.copy()
    segments, other = np.empty((4, n + 1), np.int64), np.empty(n)
    for row in range(len(rows)):
        for x in range(n):
            line_ids[x] = rows[row, x]
            line[0, x] = 0.0 if rows[row, x] else np.inf
        if line_ids.any():
            _sweep_line(line, line_ids, edge2, limit, segments, other, found, found_ids)
            distances[:, row] = found
            ids[row] = found_ids
    return distances, ids


@compiled
def _sweep_axis(distances, ids, edge2, limit, is_last):
    """Let the two nearest cells lie anywhere along one more axis, the last but one, in place.

    distances: (2, outer, n, inner), ids: (outer, n, inner). is_last: instead of the two distances,
    leave d_1 + d_2 (not squared) in distances[0].
    """
    outer, n, inner = ids.shape
    line, line_ids = np.empty((LINES, 2, n)), np.empty((LINES, n), ids.dtype)
    found, found_ids = np.empty((2, n)), np.zeros(n, ids.dtype)
    segments, other = np.empty((4, n + 1), np.int64), np.empty(n)
    for o in range(outer):
        for first in range(0, inner, LINES):
            count = min(LINES, inner - first)
            for x in range(n):
                for i in range(count):
                    line[i, 0, x] = distances[0, o, x, first + i]
                    line[i, 1, x] = distances[1, o, x, first + i]
                    line_ids[i, x] = ids[o, x, first + i]
            for i in range(count):
                _sweep_line(line[i], line_ids[i], edge2, limit, segments, other, found, found_ids)
                if is_last:
                    line[i, 0] = np.sqrt(found[0]) + np.sqrt(found[1])
                else:
                    line[i] = found
                line_ids[i] = found_ids
            for x in range(n):
                for i in range(count):
                    distances[0, o, x, first + i] = line[i, 0, x]
                    distances[1, o, x, first + i] = line[i, 1, x]
                    ids[o, x, first + i] = line_ids[i, x]


@compiled
def _sweep_line(line, ids, edge2, limit, segments, other, found, found_ids):
    """The two nearest cells of each place of a line, from the two candidates in every place.

    line: (2, n) squared distances of the candidates, nearest first, inf = none; ids: (n,) the
    nearest one's cell. segments, other: memory to work in. found, found_ids: the result, alike.
    """
    n = line.shape[1]
    places, starts = segments[0], segments[1]
    places_2, starts_2 = segments[2], segments[3]
    found[:] = np.inf
    count = _lower_envelope(line[0], 0, n, 0, n, edge2, places, starts)
    k = 0
    while k < count:
        own = ids[places[k]]
        low = places[k - 1] if k > 0 else 0
        begin = starts[k]
        while k < count and ids[places[k]] == own:
            q = places[k]
            for x in range(starts[k], starts[k + 1]):
                value = line[0, q] + edge2 * (x - q) ** 2
                if value <= limit:
                    found[0, x] = value
                    found_ids[x] = own
            k += 1
        end = starts[k]
        high = places[k] + 1 if k < count else n
        for q in range(low, high):
            other[q] = line[1, q] if ids[q] == own else line[0, q]
        for m in range(_lower_envelope(other, low, high, begin, end, edge2, places_2, starts_2)):
            q = places_2[m]
            for x in range(starts_2[m], starts_2[m + 1]):
                value = other[q] + edge2 * (x - q) ** 2
                if value <= limit:
                    found[1, x] = value


@compiled
def _lower_envelope(value, low, high, begin, end, edge2, places, starts):
    """Which of the parabolas value[q] + edge2 (x - q)^2, low <= q < high, is least where.

    Writes places[k], the q that is least for starts[k] <= x < starts[k + 1], over all integers x
    of [begin, end). Returns the number of segments.
    """
    count = 0
    for q in range(low, high):
        if value[q] == np.inf:
            continue
        start = begin
        while count > 0:
            p, x = places[count - 1], starts[count - 1]
            if value[p] + edge2 * (x - p) ** 2 <= value[q] + edge2 * (x - q) ** 2:
                gap = q - p
                crossing = (value[q] - value[p] + edge2 * gap**2) / (2 * edge2 * gap)
                start = p + 1 + math.floor(crossing) if crossing < end - p else end
                break
            count -= 1
        if start < end:
            places[count], starts[count] = q, start
            count += 1
    starts[count] = end
    return count
