"""Pictures in pixels of another size; any box equals the same part of the whole."""

from collections.abc import Sequence
from math import ceil

import numpy as np

VALUES_AT_ONCE = 2**22
"""Source values that are held at a time; they follow from the box alone where that is small."""


def resampled_length(length: int, ratio: float) -> int:
    """How many pixels, each as long as `ratio` others, cover `length` of these; at least 1.

    Examples
    --------
    >>> resampled_length(10, 4.0)
    3
    """
    return max(1, ceil(length / ratio - 1e-9))


def taps(start: int, stop: int, ratio: float, length: int) -> tuple[np.ndarray, np.ndarray]:
    """What the pixels [start, stop) of a resampled axis are the weighted means of.

    Where pixels get larger a weight is the part of the source pixel inside the resampled one: a
    mean over its area, without aliasing, and the same as that of a pyramid. Where they get smaller
    weights interpolate linearly between the centres of two source pixels, of which the outermost go
    on beyond the border.

    Parameters
    ----------
    start, stop : int
        Resampled pixels, half-open.
    ratio : float
        Edge of a resampled pixel in source pixels; both axes begin at the same border.
    length : int
        Of the source axis, px.

    Returns
    -------
    indices : ndarray, (stop - start, taps), int64
        Source pixels in [0, length).
    weights : ndarray, (stop - start, taps), float64
        They sum to 1.

    Examples
    --------
    >>> indices, weights = taps(0, 2, 2.0, 4)
    >>> indices.tolist(), weights.tolist()
    ([[0, 1, 2], [2, 3, 3]], [[0.5, 0.5, 0.0], [0.5, 0.5, 0.0]])
    """
    if ratio == 1:
        return np.arange(start, stop, dtype=np.int64)[:, None], np.ones((stop - start, 1))
    centres = (np.arange(start, stop, dtype=np.float64) + 0.5) * ratio - 0.5
    if ratio > 1:
        first = np.floor(centres - ratio / 2 + 0.5).astype(np.int64)
        indices = first[:, None] + np.arange(ceil(ratio) + 1)
        distances = np.abs(indices - centres[:, None])
        weights = np.clip((ratio + 1) / 2 - distances, 0, 1)
    else:
        indices = np.floor(centres).astype(np.int64)[:, None] + np.arange(2)
        weights = 1 - np.abs(indices - centres[:, None])
    weights[(indices < 0) | (indices >= length)] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    return indices.clip(0, length - 1), weights


def resample_box(
    array, ratios: Sequence[float], start: Sequence[int], stop: Sequence[int]
) -> np.ndarray:
    """The box [start, stop) of an array whose pixels are made `ratios` as long.

    The same bytes for a pixel, whatever the box.

    Parameters
    ----------
    array : array, (c, z, y, x)
        NumPy, Zarr, or anything read by four slices; only what the box needs is read.
    ratios : sequence of float
        For z, y and x: edge of a resampled pixel in source pixels.
    start, stop : sequence of int
        For z, y and x, in resampled pixels, half-open.

    Returns
    -------
    ndarray, (c, z, y, x), float32
        Means of the box's pixels; float64 for what float32 does not hold.

    Examples
    --------
    >>> array = np.array([[[[0, 2, 4, 6]]]], np.uint8)
    >>> resample_box(array, (1, 1, 2), (0, 0, 0), (1, 1, 2))
    array([[[[1., 5.]]]], dtype=float32)
    """
    all_taps = [
        taps(a, b, r, n) for a, b, r, n in zip(start, stop, ratios, array.shape[1:], strict=True)
    ]
    cut = int(stop[0] - start[0] == 1)  # the axis to cut if it is too much at once: z, or y
    channels = array.shape[0]
    needed = [int(i.max()) - int(i.min()) + 1 for i, _ in all_taps]
    parts = ceil(channels * np.prod(needed, dtype=np.float64) / VALUES_AT_ONCE)
    step = ceil((stop[cut] - start[cut]) / parts)
    indices, weights = all_taps[cut]
    slabs = []
    for low in range(0, stop[cut] - start[cut], step):
        slab_taps = list(all_taps)
        slab_taps[cut] = (indices[low : low + step], weights[low : low + step])
        slabs.append(_weigh(array, slab_taps))
    return slabs[0] if len(slabs) == 1 else np.concatenate(slabs, axis=cut + 1)


def _weigh(array, all_taps: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Read what some taps need, and take the means axis by axis."""
    bounds = [(int(indices.min()), int(indices.max()) + 1) for indices, _ in all_taps]
    values = np.asarray(array[(slice(None), *(slice(a, b) for a, b in bounds))])
    values = values.astype(np.result_type(values.dtype, np.float32), copy=False)
    for axis, (indices, weights) in enumerate(all_taps, start=1):
        if indices.shape[1] > 1:  # else the axis is as it was read
            offsets = indices - bounds[axis - 1][0]
            values = _mean(values, axis, offsets, weights.astype(values.dtype))
    return values


def _mean(values: np.ndarray, axis: int, indices: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted means along an axis, summed tap after tap: the order is that of no library."""
    column = [1] * values.ndim
    column[axis] = len(indices)
    total = np.take(values, indices[:, 0], axis)
    total *= weights[:, 0].reshape(column)
    for tap in range(1, indices.shape[1]):
        term = np.take(values, indices[:, tap], axis)
        term *= weights[:, tap].reshape(column)
        total += term
    return total


def nearest_box(
    array, ratios: Sequence[float], start: Sequence[int], stop: Sequence[int]
) -> np.ndarray:
    """As `resample_box`, but the value of the source pixel in which each centre lies.

    Parameters
    ----------
    array, ratios, start, stop
        As of `resample_box`.

    Returns
    -------
    ndarray, (c, z, y, x), dtype of array
        Values of the box's pixels.

    Examples
    --------
    >>> array = np.array([[[[0, 2, 4, 6]]]], np.uint8)
    >>> nearest_box(array, (1, 1, 2), (0, 0, 0), (1, 1, 2))
    array([[[[2, 6]]]], dtype=uint8)
    """
    places = [
        ((np.arange(a, b, dtype=np.float64) + 0.5) * r).astype(np.int64).clip(0, n - 1)
        for a, b, r, n in zip(start, stop, ratios, array.shape[1:], strict=True)
    ]
    bounds = [slice(int(p[0]), int(p[-1]) + 1) for p in places]
    part = np.asarray(array[(slice(None), *bounds)])
    offsets = [p - bound.start for p, bound in zip(places, bounds, strict=True)]
    return part[np.ix_(np.arange(len(part)), *offsets)]
