"""One synthetic micrograph of crowded tissue, with its reference cells.

Cells touch: only a membrane of 2 to 4 px, background in the reference, keeps two of them apart.
Brightness tells neither cells nor membranes from the rest: cells differ in tone, the field is
shaded, and membranes are darker than the cells in some patches of tissue and brighter in others.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

MIN_SHAPE_PX = 64
"""Shortest side of a slide: a few cells across."""

MIN_AREA_PX = 60
"""Smaller pieces of cells, as the edge of the picture cuts them, are background."""

REACH_PX = 80
"""No point of a territory lies further from its seed than this."""

FULL_SCALE = 2400
"""Camera counts of brightness 1 under light 1."""

CAMERA_LIMIT = 4095
"""Largest count of a 12-bit camera."""


@dataclass(frozen=True)
class Seeds:
    """Centres of n territories. `centre_px` (n, 2) as (y, x); `radius_px` (n,); `group` (n,).

    group: own number from 1 for a cell, 0 for every territory that belongs to a gap.
    """

    centre_px: np.ndarray
    radius_px: np.ndarray
    group: np.ndarray


@dataclass(frozen=True)
class Tissue:
    """Geometry of a slide, all (y, x).

    owner: int32, group of the territory; wall_px: float32, distance to the next territory;
    half_width_px: float32, half of the membrane's local thickness.
    """

    owner: np.ndarray
    wall_px: np.ndarray
    half_width_px: np.ndarray


def make_slide(
    seed: int, shape_px: tuple[int, int] = (1024, 1024)
) -> tuple[np.ndarray, np.ndarray]:
    """Synthesise one slide; the same seed and shape give the same arrays.

    Returns (image, instances), both uint16 (y, x): image in camera counts 0..4095; instances 0 for
    background and 1..n for the cells. Each id is exactly one 4-connected component of at least
    `MIN_AREA_PX` pixels, and no two ids are 4-neighbours.
    Raises ValueError if seed < 0 or a side is shorter than `MIN_SHAPE_PX`.
    """
    if seed < 0:
        raise ValueError(f"seed is {seed}; it must be 0 or more")
    if min(shape_px) < MIN_SHAPE_PX:
        raise ValueError(f"shape is {shape_px} px; each side must be {MIN_SHAPE_PX} px or more")
    rng = np.random.default_rng(seed)
    tissue = grow_tissue(rng, scatter_seeds(rng, shape_px), shape_px)
    instances = number_cells(tissue)
    signal = paint_tissue(rng, tissue, instances)
    return expose(rng, add_debris(rng, signal)), instances


def smooth_noise(
    rng: np.random.Generator, shape_px: tuple[int, ...], scale_px: float
) -> np.ndarray:
    """Random field (y, x) float32 of mean 0 and standard deviation 1, smooth over `scale_px`."""
    if scale_px < 8:
        field = ndimage.gaussian_filter(rng.standard_normal(shape_px, dtype=np.float32), scale_px)
    else:
        knots = [int(np.ceil(side / scale_px)) + 3 for side in shape_px]
        coarse = rng.standard_normal(knots, dtype=np.float32)
        field = ndimage.zoom(coarse, scale_px, order=3)[: shape_px[0], : shape_px[1]]
    return (field - field.mean()) / field.std()


def scatter_seeds(rng: np.random.Generator, shape_px: tuple[int, int]) -> Seeds:
    """Throw darts, each with its own radius, and keep those that overlap no earlier one.

    Radii follow a smooth field, so that patches of small and of large cells alternate. Seeds also
    lie outside the picture, up to 40 px from it: cells at its edge are cut like any other.
    """
    margin_px = 40
    field_px = (shape_px[0] + 2 * margin_px, shape_px[1] + 2 * margin_px)
    count = field_px[0] * field_px[1] // 100
    centre_px = rng.uniform((0, 0), field_px, size=(count, 2))
    place = tuple(centre_px.astype(np.intp).T)
    crowding = smooth_noise(rng, field_px, 150)[place]
    spacing_px = 31 * np.exp(0.25 * crowding + 0.12 * rng.standard_normal(count))
    radius_px = np.clip(spacing_px, 19, 46) / 2
    kept: list[int] = []
    for dart in range(count):
        apart_px = np.hypot(*(centre_px[kept] - centre_px[dart]).T)
        if np.all(apart_px >= radius_px[kept] + radius_px[dart]):
            kept.append(dart)
    loose = smooth_noise(rng, field_px, 90)[place][kept] > 1.75
    loose |= rng.random(len(kept)) < 0.015
    group = np.where(loose, 0, np.arange(1, len(kept) + 1))
    return Seeds(centre_px[kept] - margin_px, radius_px[kept], group)


def grow_tissue(rng: np.random.Generator, seeds: Seeds, shape_px: tuple[int, int]) -> Tissue:
    """Divide the picture among the seeds, with wobbly borders, and measure the way to them."""
    y_px, x_px = np.indices(shape_px, dtype=np.float32)
    for scale_px, wobble_px in ((40, 4.0), (14, 1.2)):
        y_px += wobble_px * smooth_noise(rng, shape_px, scale_px)
        x_px += wobble_px * smooth_noise(rng, shape_px, scale_px)
    owner, lead_px = divide(rng, seeds, y_px, x_px)
    slope = ndimage.maximum_filter(np.hypot(*np.gradient(lead_px)), size=5)
    half_width_px = np.clip(1.6 + 0.25 * smooth_noise(rng, shape_px, 60), 1.2, 2.0)
    return Tissue(owner, lead_px / np.maximum(slope, 1.0), half_width_px)


def divide(
    rng: np.random.Generator, seeds: Seeds, y_px: np.ndarray, x_px: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Give each pixel to the nearest seed, as seen by slightly stretched cells.

    y_px, x_px: (y, x) float32, warped coordinates. Returns owner (y, x) int32, the group of the
    nearest seed, and lead_px (y, x) float32, how much further the nearest seed of another group is
    (at most `REACH_PX`), which is 0 on the border between two territories.
    """
    owner = np.full(y_px.shape, -1, dtype=np.int32)
    nearest_px = np.full(y_px.shape, REACH_PX, dtype=np.float32)
    second_px = np.full(y_px.shape, 2 * REACH_PX, dtype=np.float32)
    angle, stretch = rng.uniform(0, np.pi, len(seeds.group)), rng.uniform(1, 1.3, len(seeds.group))
    for index, (centre_px, group) in enumerate(zip(seeds.centre_px, seeds.group, strict=True)):
        corner = np.maximum(centre_px.astype(int) - REACH_PX, 0)
        window = tuple(
            slice(start, max(int(centre) + REACH_PX, 0))
            for start, centre in zip(corner, centre_px, strict=True)
        )
        dy, dx = y_px[window] - np.float32(centre_px[0]), x_px[window] - np.float32(centre_px[1])
        cos, sin = np.float32(np.cos(angle[index])), np.float32(np.sin(angle[index]))
        long, short = np.float32(stretch[index] ** -0.5), np.float32(stretch[index] ** 0.5)
        away_px = np.hypot((dy * sin + dx * cos) * long, (dy * cos - dx * sin) * short)
        away_px -= np.float32(0.5 * seeds.radius_px[index])
        first, second, mine = nearest_px[window], second_px[window], owner[window]
        closer, other = away_px < first, mine != group
        second[...] = np.where(other, np.minimum(second, np.maximum(first, away_px)), second)
        first[...] = np.minimum(first, away_px)
        mine[closer] = group
    return owner, np.minimum(second_px - nearest_px, np.float32(REACH_PX))


def number_cells(tissue: Tissue) -> np.ndarray:
    """Reference labels (y, x) uint16: the insides of the cells, numbered 1..n in raster order."""
    owner = np.where(tissue.wall_px > tissue.half_width_px, np.maximum(tissue.owner, 0), 0)
    for axis in (0, 1):
        ahead, behind = (np.moveaxis(owner, axis, 0)[part] for part in (np.s_[1:], np.s_[:-1]))
        ahead[(ahead != behind) & (behind > 0)] = 0
    pieces, _ = ndimage.label(owner)
    large = np.bincount(pieces.ravel()) >= MIN_AREA_PX
    large[0] = False
    number = np.where(large, np.cumsum(large), 0).astype(np.uint16)
    return number[pieces]


def paint_tissue(rng: np.random.Generator, tissue: Tissue, instances: np.ndarray) -> np.ndarray:
    """Brightness (y, x) float32, about 0 to 1, of cells, gaps and membranes before the optics."""
    gap = 0.98 + 0.02 * smooth_noise(rng, instances.shape, 3)
    signal = np.where(instances > 0, paint_cells(rng, instances), gap)
    return draw_membranes(rng, signal, tissue)


def paint_cells(rng: np.random.Generator, instances: np.ndarray) -> np.ndarray:
    """Cytoplasm, organelles and nuclei, (y, x) float32; each cell has its own tone."""
    shape_px, count = instances.shape, int(instances.max()) + 1
    tone = rng.uniform(0.35, 0.75, count).astype(np.float32)[instances]
    grain = rng.uniform(0.02, 0.07, count).astype(np.float32)[instances]
    texture = smooth_noise(rng, shape_px, 1) + smooth_noise(rng, shape_px, 4)
    cytoplasm = tone * (1 + grain * texture)
    organelles = smooth_noise(rng, shape_px, 2.2)
    cytoplasm *= 1 - 0.24 * np.clip(3 * (organelles - 1.3), 0, 1)
    cytoplasm *= 1 + 0.24 * np.clip(3 * (-organelles - 1.7), 0, 1)
    nucleus = place_nuclei(rng, instances)
    chromatin = tone * (0.77 + 0.05 * smooth_noise(rng, shape_px, 3))
    return cytoplasm + nucleus * (chromatin - cytoplasm)


def place_nuclei(rng: np.random.Generator, instances: np.ndarray) -> np.ndarray:
    """Share of nucleus in each pixel, (y, x) float32 in 0..1; three cells of four show one.

    A nucleus is a rough disc about the point of the cell that is furthest from the membrane.
    """
    ids = np.arange(1, int(instances.max()) + 1)
    depth_px = ndimage.distance_transform_edt(instances > 0).astype(np.float32)
    middle = np.array(ndimage.maximum_position(depth_px, instances, ids)).reshape(-1, 2)
    radius_px = depth_px[tuple(middle.T)] * rng.uniform(0.45, 0.75, len(ids))
    radius_px[rng.random(len(ids)) < 0.25] = 0
    middle, radius_px = np.vstack([[0, 0], middle]), np.append(0, radius_px)
    y_px, x_px = np.indices(instances.shape, dtype=np.float32)
    y_px -= middle[:, 0].astype(np.float32)[instances]
    x_px -= middle[:, 1].astype(np.float32)[instances]
    rough_px = 1.2 * smooth_noise(rng, instances.shape, 7)
    inside_px = radius_px.astype(np.float32)[instances] - np.hypot(y_px, x_px) + rough_px
    return np.where(radius_px[instances] > 0, np.clip(inside_px / 1.5, 0, 1), 0)


def draw_membranes(rng: np.random.Generator, signal: np.ndarray, tissue: Tissue) -> np.ndarray:
    """Cover all that is nearer to a border than the membrane's half width, with a soft rim.

    Membranes are drawn against their surroundings: much darker, or in stained patches brighter.
    """
    surroundings = ndimage.gaussian_filter(signal, 7)
    stained = smooth_noise(rng, signal.shape, 90) > 0
    tone = np.where(stained, surroundings + 0.38, 0.42 * surroundings)
    tone *= 1 + 0.05 * smooth_noise(rng, signal.shape, 6)
    cover = np.clip(tissue.half_width_px - tissue.wall_px + 1, 0, 1)
    return signal + cover * (tone - signal)


def add_debris(rng: np.random.Generator, signal: np.ndarray) -> np.ndarray:
    """Dark and bright specks, and fibres that lie over the cells. (y, x) float32, as given."""
    layer = np.zeros_like(signal)
    per_slide = signal.size / 1024**2
    for height, width_px, count in ((-0.5, 2.0, 30), (0.5, 1.6, 30), (-0.35, 4.0, 10)):
        spots = np.zeros_like(signal)
        place = rng.uniform((0, 0), signal.shape, size=(round(count * per_slide), 2)).astype(int)
        spots[tuple(place.T)] = height * 2 * np.pi * width_px**2
        layer += ndimage.gaussian_filter(spots, width_px)
    for _ in range(max(1, round(4 * per_slide))):
        layer += draw_fibre(rng, signal.shape)
    return signal + layer


def draw_fibre(rng: np.random.Generator, shape_px: tuple[int, ...]) -> np.ndarray:
    """One faint curved fibre, (y, x) float32: brightness to add along a quadratic Bezier curve."""
    fibre = np.zeros(shape_px, dtype=np.float32)
    start, bend, end = rng.uniform((0, 0), shape_px, size=(3, 2))
    way = np.linspace(0, 1, 4 * sum(shape_px))[:, None]
    path = (1 - way) ** 2 * start + 2 * way * (1 - way) * bend + way**2 * end
    fibre[tuple(path.astype(int).T)] = rng.choice([-0.5, 0.6])
    return ndimage.gaussian_filter(fibre, 1.0)


def expose(rng: np.random.Generator, signal: np.ndarray) -> np.ndarray:
    """Photograph a brightness (y, x): blur, uneven light, photon and camera noise; uint16."""
    slope = rng.uniform(-0.3, 0.3, size=2)
    y, x = (np.linspace(-1, 1, side, dtype=np.float32) for side in signal.shape)
    shading = slope[0] * y[:, None] + slope[1] * x
    shading += 0.25 * smooth_noise(rng, signal.shape, 350)
    shading = 1.3 * np.exp(shading - shading.max())
    light = np.clip(ndimage.gaussian_filter(signal, 0.7), 0.02, None) * shading
    photons_full = 900
    counts = rng.poisson(light * photons_full) * (FULL_SCALE / photons_full)
    counts += rng.normal(100, 25, signal.shape)
    return np.clip(np.rint(counts), 0, CAMERA_LIMIT).astype(np.uint16)
