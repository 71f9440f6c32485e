"""Random deformations of training tiles: pure functions of a generator."""

from collections.abc import Sequence

import numpy as np

from overtile.settings.model import Augmentation

GRID_POINTS = 3


def elastic_field(
    rng: np.random.Generator, shape: Sequence[int], sigma_px: Sequence[float]
) -> np.ndarray:
    """Smooth displacements in pixels, (ndim, *shape), from a 3-point grid of normal vectors.

    Bicubic (tricubic) interpolation between the grid's points, one at each end and the middle.
    Source: Ronneberger et al. 2015, section 3.1, arXiv:1505.04597.
    """
    from scipy.interpolate import CubicSpline  # late: planning and weighing need none

    ndim = len(shape)
    field = rng.normal(size=(ndim,) + (GRID_POINTS,) * ndim)
    field *= np.reshape(sigma_px, (ndim,) + (1,) * ndim)
    knots = np.arange(GRID_POINTS)
    for axis, length in enumerate(shape, start=1):
        places = np.linspace(0, GRID_POINTS - 1, length)
        basis = CubicSpline(knots, np.eye(GRID_POINTS), bc_type="natural")(places)
        field = np.moveaxis(np.tensordot(basis, field, axes=(1, axis)), 0, axis)
    return field


def linear_map(rng: np.random.Generator, ndim: int, augmentation: Augmentation) -> np.ndarray:
    """A random turn in (y, x) and random flips, as an (ndim, ndim) matrix."""
    angle = np.deg2rad(rng.uniform(-1, 1) * augmentation.rotation_degrees)
    matrix = np.eye(ndim)
    matrix[-2:, -2:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    signs = rng.choice([-1.0, 1.0], size=ndim)
    return matrix * signs if augmentation.flips else matrix


def sample_coordinates(
    rng: np.random.Generator,
    centre: Sequence[float] | np.ndarray,
    shape: Sequence[int],
    spacing: Sequence[float],
    augmentation: Augmentation,
) -> np.ndarray:
    """Where each pixel of a tile comes from: (ndim, *shape) coordinates in the slide, pixels.

    centre: of the tile in the slide. spacing: relative pixel edges per axis, so that turns and
    displacements are right for anisotropic pixels.
    """
    ndim = len(shape)
    column = (ndim,) + (1,) * ndim
    offsets = [np.arange(n) - (n - 1) / 2 for n in shape]
    grid = np.stack(np.meshgrid(*offsets, indexing="ij"))
    edges = np.reshape(spacing, column)
    matrix = linear_map(rng, ndim, augmentation)
    rotated = np.tensordot(matrix, grid * edges, axes=1) / edges
    sigma = [augmentation.elastic_px * min(spacing) / s for s in spacing]
    return rotated + elastic_field(rng, shape, sigma) + np.reshape(centre, column)


def resample(
    pixels: np.ndarray, origin: Sequence[int], coordinates: np.ndarray, order: int
) -> np.ndarray:
    """Pixels at fractional coordinates.

    pixels: a box of the slide that starts at `origin`; order: 0 nearest (labels), 1 linear.
    """
    from scipy.ndimage import map_coordinates

    local = coordinates - np.reshape(origin, (len(origin),) + (1,) * len(origin))
    return map_coordinates(pixels, local, order=order, mode="nearest", prefilter=False)


def change_intensity(
    rng: np.random.Generator, image: np.ndarray, augmentation: Augmentation
) -> np.ndarray:
    """Random contrast, brightness and noise of a normalised (c, *px) tile, float32."""
    channels = (len(image),) + (1,) * (image.ndim - 1)
    contrast = 1 + augmentation.contrast * rng.uniform(-1, 1, channels)
    brightness = augmentation.brightness * rng.uniform(-1, 1, channels)
    noise = augmentation.noise * rng.standard_normal(image.shape, dtype=np.float32)
    return (image * contrast + brightness + noise).astype(np.float32)
