"""The border term of the U-Net paper's weight map, and the border it is drawn for."""

from collections.abc import Sequence
from math import ceil, inf, log, sqrt

import numpy as np

from overtile.geometry.two_nearest import two_nearest_sum

TOLERANCE = 1e-6
"""Border terms below this fraction of w_0 are set to 0."""

LEAST_TOLERANCE = 1e-30
"""Below it float32 would lose digits."""

LARGEST_RATIO = 1e6
"""Of pixel edges, and of sigma and edges, either way: beyond it float64 would lose digits."""


def border_reach(sigma: float, tolerance: float = TOLERANCE) -> float:
    """Largest d_1 + d_2, in the unit of sigma, at which the border term is kept.

    Beyond it the term is below `tolerance * w_0`, and set to 0. Raises ValueError for a sigma that
    is not above 0 and finite, or a tolerance outside of [1e-30, 1).
    """
    if not 0 < sigma < inf or not LEAST_TOLERANCE <= tolerance < 1:
        raise ValueError(
            f"sigma is {sigma} and tolerance {tolerance}; allowed: a finite sigma above 0, and a "
            f"tolerance from {LEAST_TOLERANCE} to below 1"
        )
    return sigma * sqrt(2 * log(1 / tolerance))


def halo_px(reach: float, spacing: Sequence[float]) -> tuple[int, ...]:
    """Pixels beyond a block, per axis, in which cells within reach of it may lie."""
    return tuple(ceil(reach / edge) for edge in spacing)


def border_weights(
    instances: np.ndarray,
    w0: float,
    sigma: float,
    spacing: Sequence[float],
    tolerance: float = TOLERANCE,
) -> np.ndarray:
    """The border term w_0 exp(-(d_1 + d_2)^2 / (2 sigma^2)) of the weight map.

    instances: (y, x) or (z, y, x), any integers, 0 = background. spacing: pixel edges per axis, in
    the unit of sigma. d_1 and d_2 are the Euclidean distances between pixel centres to the nearest
    and to the second nearest cell. Returns float32 of the same shape. A term below `tolerance *
    w_0` is 0; every other one is that of the definition within 1e-5 of its value.

    - A cell is all pixels of one number: several components are one cell and have no border
      between them. Numbers may have gaps and any integer dtype up to uint64.
    - Inside a cell d_1 is 0, and d_2 the distance to the nearest other cell. Where cells touch,
      d_2 is a pixel's edge, and the term nearly w_0: `separate` makes room for a border.
    - A hole is background like any other: its nearest cell is mostly the one around it.
    - Fewer than two cells have no border: all 0.
    - Beyond the picture there are no cells: nothing is mirrored.
    - Pixels to ignore are to be given as 0: they are no cell, and their own weight is not used.

    Raises ValueError if spacing does not fit the axes, if edges and sigma differ by more than a
    factor of 1e6, or as `border_reach` does.
    Source: Ronneberger et al. 2015, section 3, equation 2, arXiv:1505.04597.
    """
    reach = border_reach(sigma, tolerance)
    if len(spacing) != instances.ndim or not all(0 < edge < inf for edge in spacing):
        raise ValueError(
            f"spacing is {tuple(spacing)}; allowed: {instances.ndim} edges above 0, one per axis"
        )
    if max(*spacing, sigma) > LARGEST_RATIO * min(*spacing, sigma):
        raise ValueError(
            f"sigma is {sigma} and spacing {tuple(spacing)}; allowed: within a factor of "
            f"{LARGEST_RATIO:g}"
        )
    term = two_nearest_sum(instances, spacing, reach)
    np.multiply(term, term, out=term)
    term *= -1 / (2 * sigma**2)
    np.exp(term, out=term)
    term *= w0
    return term


def separate(instances: np.ndarray, separate_px: int) -> np.ndarray:
    """Cut a border of background between cells that touch, for a network to learn.

    instances: (y, x) or (z, y, x), any integers, 0 = background. A pixel becomes background if
    the centre of another cell's pixel lies within separate_px of its own, in pixels (voxels)
    whatever their edges: each cell loses its common part with all others dilated by a disk (ball)
    of that radius. No two cells share a face afterwards, and 2 separate_px pixels of background lie
    between them along a straight seam; cells that meet at a corner only stay so at 1. Cells that
    were further apart stay as they are. A cell may fall into pieces, which stay one cell; one that
    is nowhere thicker than the cut is lost.
    Returns the same shape and dtype. 0 separates nothing.
    Source: Ronneberger et al. 2015, section 3 ("separation border ... morphological operations").
    """
    if separate_px == 0:
        return instances
    spacing = (1.0,) * instances.ndim
    crowded = two_nearest_sum(instances, spacing, separate_px) < np.inf
    return np.where(crowded, instances.dtype.type(0), instances)
