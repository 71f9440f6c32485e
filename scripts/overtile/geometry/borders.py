"""The border weight map of the U-Net paper, exact, in windows around each cell."""

from collections.abc import Sequence
from math import ceil, log, sqrt

import numpy as np
from scipy import ndimage

TOLERANCE = 1e-6
"""Border terms below this fraction of w_0 are set to 0."""


def reach_px(sigma_px: float, tolerance: float = TOLERANCE) -> float:
    """Largest d_1 + d_2, in pixels, at which the border term is still kept.

    The term is at most `tolerance * w_0` beyond it.
    """
    return sigma_px * sqrt(2 * log(1 / tolerance))


def halo_px(sigma_px: float, spacing: Sequence[float]) -> tuple[int, ...]:
    """Pixels beyond a block, per axis, that its border weights depend on."""
    return tuple(ceil(reach_px(sigma_px) / s) + 1 for s in spacing)


def nearest_two_distances(
    instances: np.ndarray, spacing: Sequence[float], reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Distances to the nearest and the second nearest cell, exact up to `reach`, else inf.

    instances: (y, x) or (z, y, x), integers, 0 = background; a cell may have several components.
    spacing: pixel edge lengths per axis, in the unit of `reach`; inside a cell its distance is 0.
    One distance transform per cell, over the cell's bounding box widened by `reach`: the cost is
    that of the cells' surroundings, not of cells times picture. Returns two float64 arrays.
    """
    nearest = np.full(instances.shape, np.inf)
    second = np.full(instances.shape, np.inf)
    ids, dense = np.unique(instances, return_inverse=True)
    dense = dense.reshape(instances.shape) + (0 if ids[0] == 0 else 1)
    margin = [ceil(reach / s) + 1 for s in spacing]
    for number, box in enumerate(ndimage.find_objects(dense), start=1):
        window = tuple(
            slice(max(0, b.start - m), min(n, b.stop + m))
            for b, m, n in zip(box, margin, instances.shape, strict=True)
        )
        distance = ndimage.distance_transform_edt(dense[window] != number, sampling=spacing)
        distance[distance > reach] = np.inf
        near, next_ = nearest[window], second[window]
        np.minimum(next_, np.maximum(near, distance), out=next_)
        np.minimum(near, distance, out=near)
    return nearest, second


def border_weights(
    instances: np.ndarray, w0: float, sigma_px: float, spacing: Sequence[float]
) -> np.ndarray:
    """The border term w_0 exp(-(d_1 + d_2)^2 / (2 sigma^2)) of the weight map.

    instances: (y, x) or (z, y, x), integers, 0 = background. sigma_px and spacing share a unit:
    the pixel edge of the finest axis. d_1 and d_2: distances to the nearest and second nearest
    cell, 0 inside a cell. Terms below 1e-6 w_0 are 0; so is everything with fewer than two cells.
    Returns float32 of the same shape.
    Source: Ronneberger et al. 2015, section 3, equation 2, arXiv:1505.04597.
    """
    reach = reach_px(sigma_px)
    nearest, second = nearest_two_distances(instances, spacing, reach)
    total = nearest + second
    near = total <= reach
    weights = np.zeros(instances.shape, dtype=np.float32)
    weights[near] = w0 * np.exp(-(total[near] ** 2) / (2 * sigma_px**2))
    return weights


def class_weights(counts: Sequence[int]) -> list[float]:
    """Weights w_c that give each class the same total weight, mean weight 1 over all pixels.

    counts: pixels of each class in the training set. A class without pixels gets 0.
    """
    total, present = sum(counts), sum(1 for n in counts if n)
    return [total / (present * n) if n else 0.0 for n in counts]
