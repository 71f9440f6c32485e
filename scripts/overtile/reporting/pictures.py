"""Pictures of a slide with the outlines of its objects, small enough for a page.

A plane is (y, x), or (y, x, 3) in colour; of a volume it is the middle one. Pyramids keep memory
bounded: nothing here reads more than about 1024 x 1024 px.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.segmentation import find_boundaries

from overtile.errors import InputError
from overtile.stores.store import Store

EDGE_PX = 1024
WINDOW_OBJECTS = 6
LARGEST_WINDOW_PX = 320
SMALLEST_WINDOW_PX = 24
TOLERANCE_PX = 2
LINE_PX = 2
# Blue and orange of Okabe and Ito 2008, brightened for dark pictures; told apart by everyone.
REFERENCE, SEGMENTATION, BOTH, FRAME = (64, 156, 255), (255, 140, 0), (255, 255, 255), (255, 230, 0)
GREYS = 96
BRIGHTEST = 215  # of 255, so that white outlines stand out

Box = tuple[slice, slice]


@dataclass(frozen=True)
class Overlay:
    """Two PNG pictures: the slide, and a magnified window. note: which plane or channel."""

    overview: bytes
    window: bytes
    note: str


def draw_overlay(image: Store, segmentation: Store | None, reference: Store | None) -> Overlay:
    """Draw a slide with its outlines, and the window in which they disagree most.

    Without a reference: the window with most outlines. Raises InputError if the labels' shapes
    are not the picture's.
    """
    labels = reference, segmentation
    for store in labels:
        if store is not None and (store.shape, store.levels) != (image.shape, image.levels):
            raise InputError(
                f"{store.path}: is {store.shape} (z, y, x) px in {store.levels} levels, its "
                f"picture {image.shape} in {image.levels}; make the labels again"
            )
    level = overview_level(image)
    plane = read_plane(image, level)
    limits = contrast_limits(plane)
    fine, box = find_window(image, labels, level)
    frame = _box_at(image, fine, box, level)
    return Overlay(
        _draw(plane, limits, [_read(store, level) for store in labels], frame),
        _draw(read_plane(image, fine, box), limits, [_read(s, fine, box) for s in labels]),
        _note(image),
    )


def overview_level(store: Store) -> int:
    """The finest level whose longer edge is at most 1024 px, or the coarsest there is."""
    edges = (max(store.level(n).shape[-2:]) for n in range(store.levels))
    return next((n for n, edge in enumerate(edges) if edge <= EDGE_PX), store.levels - 1)


def read_plane(store: Store, level: int, box: Box = (slice(None), slice(None))) -> np.ndarray:
    """The middle plane of a level: labels and grey (y, x), three channels (y, x, 3).

    Of a picture with two or more than three channels only the first.
    """
    array = store.level(level)
    z = store.shape[0] // 2 * array.shape[-3] // store.shape[0]
    if array.ndim == 3:
        return np.asarray(array[z, *box])
    if array.shape[0] == 3:
        return np.moveaxis(np.asarray(array[:, z, *box]), 0, -1)
    return np.asarray(array[0, z, *box])


def _read(store: Store | None, level: int, box: Box = (slice(None), slice(None))):
    return None if store is None else read_plane(store, level, box)


def _note(image: Store) -> str:
    depth, channels = image.shape[0], image.array.shape[0]
    parts = [f"plane {depth // 2 + 1} of {depth}"] if depth > 1 else []
    parts += [f"channel 1 of {channels}"] if channels not in (1, 3) else []
    return ", ".join(parts)


def contrast_limits(plane: np.ndarray) -> tuple[float, float]:
    """Intensities shown as black and white: 1st and 99.5th percentile, the same for all colours."""
    low, high = np.percentile(plane, (1, 99.5))
    return float(low), float(high) if high > low else float(low) + 1


def find_window(
    image: Store, labels: Sequence[Store | None], level: int
) -> tuple[int, Box]:
    """The window with most disagreement: its level, and its place there.

    Searched from coarse to fine, each time only inside the window before, down to the level where
    a window of about six objects has at most 320 px.
    """
    wanted = window_px(image, [store for store in labels if store is not None])
    area = tuple(slice(0, n) for n in image.level(level).shape[-2:])
    while True:
        planes = [_read(store, level, area) for store in labels]
        factor = image.shape[-1] / image.level(level).shape[-1]
        edge = max(SMALLEST_WINDOW_PX, round(wanted / factor))
        box = densest_box(disagreement(*planes, shape=_size(area)), edge)
        box = tuple(slice(a.start + b.start, a.start + b.stop) for a, b in zip(area, box))
        if level == 0 or wanted / factor * 2 > LARGEST_WINDOW_PX:
            return level, box
        area = _box_at(image, level, box, level - 1)
        level -= 1


def window_px(image: Store, labels: Sequence[Store]) -> float:
    """Edge of a window of about six objects, in pixels of level 0, at most 2/5 of the slide's."""
    most = 0.4 * max(image.shape[1:])
    for store in labels:
        counts = store.label_classes().attributes["class_counts"]
        if store.attributes["objects"] and sum(counts[1:]):
            size = sum(counts[1:]) / store.attributes["objects"]
            diameter = size ** (1 / (3 if image.shape[0] > 1 else 2))
            return min(most, WINDOW_OBJECTS * diameter)
    return most


def disagreement(
    reference: np.ndarray | None, segmentation: np.ndarray | None, shape: tuple[int, int]
) -> np.ndarray:
    """Outlines (y, x) bool that only one of two labellings has, give or take 2 px.

    Shifted outlines count where they are far apart, merged or split objects along the missing or
    superfluous border. With one labelling, or where two agree: all its outlines.
    """
    lines = [find_boundaries(p, mode="inner") for p in (reference, segmentation) if p is not None]
    if not lines:
        return np.zeros(shape, dtype=bool)
    if len(lines) == 2:
        one, two = lines
        alone = (one & ~_widen(two, TOLERANCE_PX)) | (two & ~_widen(one, TOLERANCE_PX))
        if alone.any():
            return alone
    return lines[-1]


def densest_box(mask: np.ndarray, edge: int) -> Box:
    """The window of `edge` x `edge` px, cut to the mask, that holds most of it; else the middle."""
    sizes = [min(edge, n) for n in mask.shape]
    sums = np.pad(mask.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    h, w = sizes
    inside = sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]
    start = [(n - size) // 2 for n, size in zip(mask.shape, sizes, strict=True)]
    if inside.max() > 0:
        start = np.argwhere(inside == inside.max()).mean(axis=0)
        nearest = np.abs(np.argwhere(inside == inside.max()) - start).sum(axis=1).argmin()
        start = np.argwhere(inside == inside.max())[nearest].tolist()
    return tuple(slice(s, s + size) for s, size in zip(start, sizes, strict=True))


def _size(box: Box) -> tuple[int, int]:
    return tuple(side.stop - side.start for side in box)


def _box_at(image: Store, level: int, box: Box, other: int) -> Box:
    """The same window at another level, cut to the picture and at least 1 px wide."""
    sides = []
    for side, n, m in zip(box, image.level(level).shape[-2:], image.level(other).shape[-2:]):
        start = min(m - 1, round(side.start * m / n))
        sides.append(slice(start, min(m, max(start + 1, round(side.stop * m / n)))))
    return tuple(sides)


def _widen(mask: np.ndarray, by_px: int) -> np.ndarray:
    return ndimage.maximum_filter(mask, 2 * by_px + 1) if by_px else mask


def _draw(
    plane: np.ndarray,
    limits: tuple[float, float],
    labels: Sequence[np.ndarray | None],
    frame: Box | None = None,
) -> bytes:
    """One PNG: the plane magnified by a whole number, outlines and a frame over it."""
    factor = max(1, EDGE_PX // max(plane.shape[:2]))
    pixels, palette = indexed_colours(plane, limits)
    pixels, first = magnify(pixels, factor), len(palette)
    lines = [None if one is None else outlines(magnify(one, factor)) for one in labels]
    for number, line in enumerate(lines):
        if line is not None:
            pixels[line] = first + number
    if all(line is not None for line in lines):
        pixels[lines[0] & lines[1]] = first + 2
    if frame is not None:
        y, x = (slice(side.start * factor, side.stop * factor) for side in frame)
        border = np.ones(_size((y, x)), dtype=bool)
        border[4:-4, 4:-4] = False
        pixels[y, x][border] = first + 3
    return png([*palette, REFERENCE, SEGMENTATION, BOTH, FRAME], pixels)


def magnify(plane: np.ndarray, factor: int) -> np.ndarray:
    """Repeat every pixel of (y, x) `factor` times along both axes."""
    return plane.repeat(factor, axis=0).repeat(factor, axis=1)


def outlines(labels: np.ndarray) -> np.ndarray:
    """Outlines (y, x) bool of label ids, 2 px inside each object."""
    line = find_boundaries(labels, mode="inner")
    return ndimage.binary_dilation(line, iterations=LINE_PX - 1) & (labels > 0)


def indexed_colours(
    plane: np.ndarray, limits: tuple[float, float]
) -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    """A plane as numbers (y, x) uint8 of at most 96 colours, and these: small files, no banding."""
    low, high = limits
    scaled = np.clip((plane.astype(np.float64) - low) / (high - low), 0, 1)
    if plane.ndim == 2:
        greys = np.linspace(0, BRIGHTEST, GREYS).round().astype(int).tolist()
        return np.rint(scaled * (GREYS - 1)).astype(np.uint8), [(g, g, g) for g in greys]
    from PIL import Image

    picture = Image.fromarray(np.rint(scaled * 255).astype(np.uint8))
    few = picture.quantize(2 * GREYS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    colours = np.array(few.getpalette()).reshape(-1, 3)
    return np.array(few), [tuple(colour) for colour in colours.tolist()]


def png(palette: Sequence[tuple[int, int, int]], pixels: np.ndarray) -> bytes:
    """A PNG file of numbered colours; pixels (y, x) uint8."""
    from PIL import Image

    picture = Image.fromarray(pixels, mode="P")
    picture.putpalette([value for colour in palette for value in colour])
    file = io.BytesIO()
    picture.save(file, format="PNG", optimize=True)
    return file.getvalue()
