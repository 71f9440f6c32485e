"""Pictures of a slide with the outlines of its objects, small enough for a page.

Pyramids keep memory bounded: nothing here reads more than about 1024 x 1024 px at once.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.segmentation import find_boundaries

from overtile.errors import InputError
from overtile.reporting.closeup import box_at_level, box_size, find_closeup, widen
from overtile.reporting.planes import (
    EDGE_PX,
    Box,
    contrast_limits,
    overview_level,
    read_labels,
    read_plane,
)
from overtile.stores.store import Store

NEAR_PX = 4  # of the picture drawn: closer lines look like one
LINE_PX = 3
# Blue and orange of Okabe and Ito 2008, brightened for dark pictures; told apart by everyone.
REFERENCE, SEGMENTATION, BOTH, FRAME = (64, 156, 255), (255, 140, 0), (255, 255, 255), (255, 230, 0)
GREYS = 96
BRIGHTEST = 215  # of 255, so that white outlines stand out


@dataclass(frozen=True)
class Overlay:
    """Two PNG pictures: the slide, and a close-up.

    aspects: width / height of both. note: which plane or channel they show.
    """

    overview: bytes
    closeup: bytes
    aspects: tuple[float, float]
    note: str


def draw_overlay(image: Store, segmentation: Store | None, reference: Store | None) -> Overlay:
    """Draw a slide with its outlines, and the close-up in which they disagree most.

    Without a reference: the close-up with most outlines. Raises InputError if the labels' shapes
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
    fine, box = find_closeup(image, reference, segmentation, level)
    frame = box_at_level(image, fine, box, level)
    closeup = read_plane(image, fine, box)
    return Overlay(
        _draw(plane, limits, [read_labels(store, level) for store in labels], NEAR_PX, frame),
        _draw(closeup, limits, [read_labels(store, fine, box) for store in labels], 0),
        (plane.shape[1] / plane.shape[0], closeup.shape[1] / closeup.shape[0]),
        _note(image),
    )


def _note(image: Store) -> str:
    depth, channels = image.shape[0], image.array.shape[0]
    parts = [f"plane {depth // 2 + 1} of {depth}"] if depth > 1 else []
    parts += [f"channel 1 of {channels}"] if channels not in (1, 3) else []
    return ", ".join(parts)


def _draw(
    plane: np.ndarray,
    limits: tuple[float, float],
    labels: Sequence[np.ndarray | None],
    near_px: int,
    frame: Box | None = None,
) -> bytes:
    """One PNG: the plane magnified by a whole number, outlines and a frame over it.

    Outlines of both labels become one where they are no further apart than near_px, of the PNG.
    """
    factor = max(1, EDGE_PX // max(plane.shape[:2]))
    pixels, palette = indexed_colours(plane, limits)
    pixels, first = magnify(pixels, factor), len(palette)
    lines = [None if one is None else outlines(magnify(one, factor)) for one in labels]
    for line, colour in _coloured(lines, near_px):
        pixels[line] = first + colour
    if frame is not None:
        y, x = (slice(side.start * factor, side.stop * factor) for side in frame)
        border = np.ones(box_size((y, x)), dtype=bool)
        border[4:-4, 4:-4] = False
        pixels[y, x][border] = first + 3
    return png([*palette, REFERENCE, SEGMENTATION, BOTH, FRAME], pixels)


def _coloured(lines: Sequence[np.ndarray | None], near_px: int) -> list[tuple[np.ndarray, int]]:
    """Masks (y, x) and their colours: 0 reference, 1 segmentation, 2 both."""
    reference, segmentation = lines
    if reference is None or segmentation is None:
        return [(line, colour) for colour, line in enumerate(lines) if line is not None]
    near = reference & widen(segmentation, near_px)
    in_segmentation_only = segmentation & ~widen(reference, near_px)
    return [(reference & ~near, 0), (in_segmentation_only, 1), (near, 2)]


def magnify(plane: np.ndarray, factor: int) -> np.ndarray:
    """Repeat every pixel of (y, x) `factor` times along both axes."""
    return plane.repeat(factor, axis=0).repeat(factor, axis=1)


def outlines(labels: np.ndarray) -> np.ndarray:
    """Outlines (y, x) bool of label ids, 3 px wide, inside the objects."""
    line = find_boundaries(labels, mode="inner")
    return ndimage.binary_dilation(line, iterations=LINE_PX - 1) & (labels > 0)


def indexed_colours(
    plane: np.ndarray, limits: tuple[float, float]
) -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    """A plane as numbers (y, x) uint8 of few colours, and these: small files, no banding."""
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

    picture = Image.fromarray(pixels)
    picture.putpalette([value for colour in palette for value in colour])
    file = io.BytesIO()
    picture.save(file, format="PNG", optimize=True)
    return file.getvalue()
