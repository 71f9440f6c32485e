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
    """Largest d_1 + d_2 at which the border term is kept; beyond it the term is set to 0.

    Parameters
    ----------
    sigma : float
        Width of the border term, in any unit of length.
    tolerance : float
        Fraction of w_0 below which the term is 0.

    Returns
    -------
    float
        The distance, in the unit of sigma.

    Raises
    ------
    ValueError
        If sigma is not above 0 and finite, or tolerance lies outside of [1e-30, 1).

    Examples
    --------
    >>> round(border_reach(5.0), 2)
    26.28
    """
    if not 0 < sigma < inf or not LEAST_TOLERANCE <= tolerance < 1:
        raise ValueError(
            f"sigma is {sigma} and tolerance {tolerance}; allowed: a finite sigma above 0, and a "
            f"tolerance from {LEAST_TOLERANCE} to below 1"
        )
    return sigma * sqrt(2 * log(1 / tolerance))


def halo_px(reach: float, spacing: Sequence[float]) -> tuple[int, ...]:
    """Pixels beyond a block in which cells within reach of it may lie.

    Parameters
    ----------
    reach : float
        See `border_reach`.
    spacing : sequence of float
        Pixel edges per axis, in the unit of reach.

    Returns
    -------
    tuple of int
        Pixels per axis.

    Examples
    --------
    >>> halo_px(26.3, [2.0, 1.0, 1.0])
    (14, 27, 27)
    """
    return tuple(ceil(reach / edge) for edge in spacing)


def border_weights(
    instances: np.ndarray,
    w0: float,
    sigma: float,
    spacing: Sequence[float],
    tolerance: float = TOLERANCE,
) -> np.ndarray:
    """The border term w_0 exp(-(d_1 + d_2)^2 / (2 sigma^2)) of the weight map.

    d_1 and d_2 are the Euclidean distances between pixel centres to the nearest and to the second
    nearest cell.

    - A cell is all pixels of one number: several components are one cell and have no border
      between them. Numbers may have gaps and any integer dtype up to uint64.
    - Inside a cell d_1 is 0, and d_2 the distance to the nearest other cell. Where cells touch,
      d_2 is a pixel's edge, and the term nearly w_0: `separate` makes room for a border.
    - A hole is background like any other: its nearest cell is mostly the one around it.
    - Fewer than two cells have no border: all 0.
    - Beyond the picture there are no cells: nothing is mirrored.
    - Pixels to ignore are to be given as 0: they are no cell, and their own weight is not used.

    Parameters
    ----------
    instances : ndarray, (y, x) or (z, y, x), any integers
        The number of the cell of each pixel, 0 for background.
    w0 : float
        Largest value of the term.
    sigma : float
        Width of the term, in the unit of spacing.
    spacing : sequence of float
        Pixel edges per axis.
    tolerance : float
        A term below tolerance * w0 is 0; every other one is within 1e-5 of its value.

    Returns
    -------
    ndarray, the same shape, float32
        The term of each pixel.

    Raises
    ------
    ValueError
        If spacing does not fit the axes, if edges and sigma differ by more than a factor of 1e6, or
        as `border_reach` does.

    References
    ----------
    Ronneberger et al. 2015, section 3, equation 2, arXiv:1505.04597.

    Examples
    --------
    >>> border_weights(np.array([[1, 0, 0, 2]]), w0=10, sigma=5, spacing=(1, 1)).round(2)
    array([[8.35, 8.35, 8.35, 8.35]], dtype=float32)
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

    A pixel becomes background if the centre of another cell's pixel lies within separate_px of its
    own. Each cell loses its common part with all others dilated by a disk (ball) of that radius. No
    two cells share a face afterwards. Along a straight seam 2 separate_px pixels of background lie
    between them. Cells that meet at a corner only stay so at 1. Cells that were further apart stay
    as they are. A cell may fall into pieces, which stay one cell; one that is nowhere thicker than
    the cut is lost.

    Parameters
    ----------
    instances : ndarray, (y, x) or (z, y, x), any integers
        The number of the cell of each pixel, 0 for background.
    separate_px : int
        In pixels (voxels), whatever their edges. 0 separates nothing.

    Returns
    -------
    ndarray, the same shape and dtype
        The cells without their borders.

    References
    ----------
    Ronneberger et al. 2015, section 3 ("separation border ... morphological operations").

    Examples
    --------
    >>> separate(np.array([[1, 1, 1, 2, 2, 2]]), 1)
    array([[1, 1, 0, 0, 2, 2]])
    """
    if separate_px == 0:
        return instances
    spacing = (1.0,) * instances.ndim
    crowded = two_nearest_sum(instances, spacing, separate_px) < np.inf
    return np.where(crowded, instances.dtype.type(0), instances)
