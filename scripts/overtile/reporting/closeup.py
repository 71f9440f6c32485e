"""Where to look closer: the part of a slide in which two labellings disagree most."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from skimage.segmentation import find_boundaries

from overtile.reporting.planes import Box, read_labels
from overtile.stores.store import Store

OBJECTS_SHOWN = 6
"""Objects along an edge of a close-up, about."""
LARGEST_EDGE_PX = 320
SMALLEST_EDGE_PX = 24
TOLERANCE_PX = 2


def find_closeup(
    image: Store, reference: Store | None, segmentation: Store | None, level: int
) -> tuple[int, Box]:
    """The close-up with most disagreement: its level, and its place there.

    Searched from coarse to fine, each time only inside the one before, down to the level where a
    close-up of about six objects has at most 320 px.
    """
    wanted = closeup_edge_px(image, [s for s in (reference, segmentation) if s is not None])
    area = whole_box(image, level)
    while True:
        one, two = (read_labels(store, level, area) for store in (reference, segmentation))
        factor = image.shape[-1] / image.shapes[level][-1]
        edge = max(SMALLEST_EDGE_PX, round(wanted / factor))
        box = shifted(densest_box(disagreement(one, two, box_size(area)), edge), area)
        if level == 0 or wanted / factor * 2 > LARGEST_EDGE_PX:
            return level, box
        area = box_at_level(image, level, box, level - 1)
        level -= 1


def closeup_edge_px(image: Store, labels: Sequence[Store]) -> float:
    """Edge of a close-up of about six objects, in pixels of level 0, at most 2/5 of the slide's."""
    most = 0.4 * max(image.shape[1:])
    for store in labels:
        counts = store.label_classes().attributes["class_counts"]
        if store.attributes["objects"] and sum(counts[1:]):
            size = sum(counts[1:]) / store.attributes["objects"]
            diameter = size ** (1 / (3 if image.shape[0] > 1 else 2))
            return min(most, OBJECTS_SHOWN * diameter)
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
        in_one_only = (one & ~widen(two, TOLERANCE_PX)) | (two & ~widen(one, TOLERANCE_PX))
        if in_one_only.any():
            return in_one_only
    return lines[-1]


def densest_box(mask: np.ndarray, edge: int) -> Box:
    """The box of `edge` x `edge` px, cut to the mask, that holds most of it.

    mask: (y, x) bool, or whole numbers to add up. Of several boxes the one nearest their middle:
    with an empty mask the middle of the picture.
    """
    h, w = (min(edge, n) for n in mask.shape)
    sums = np.pad(mask.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    inside = sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]
    fullest = np.argwhere(inside == inside.max())
    middle = fullest.mean(axis=0)  # of several as full, the one that has the rest around it
    y, x = fullest[np.abs(fullest - middle).sum(axis=1).argmin()].tolist()
    return slice(y, y + h), slice(x, x + w)


def whole_box(image: Store, level: int) -> Box:
    """A whole plane of a level."""
    height, width = image.shapes[level][-2:]
    return slice(0, height), slice(0, width)


def shifted(box: Box, area: Box) -> Box:
    """A box within an area, in coordinates of the whole plane."""
    y, x = (slice(a.start + b.start, a.start + b.stop) for a, b in zip(area, box, strict=True))
    return y, x


def box_size(box: Box) -> tuple[int, int]:
    """(y, x) edges of a box, in pixels."""
    y, x = box
    return y.stop - y.start, x.stop - x.start


def box_at_level(image: Store, level: int, box: Box, other: int) -> Box:
    """The same box at another level, cut to the picture and at least 1 px wide."""

    def scaled(side: slice, here: int, there: int) -> slice:
        start = min(there - 1, round(side.start * there / here))
        return slice(start, min(there, max(start + 1, round(side.stop * there / here))))

    here, there = image.shapes[level][-2:], image.shapes[other][-2:]
    y, x = (scaled(*sides) for sides in zip(box, here, there, strict=True))
    return y, x


def widen(mask: np.ndarray, by_px: int) -> np.ndarray:
    """A mask (y, x) bool grown by so many pixels along both axes."""
    return ndimage.maximum_filter(mask, 2 * by_px + 1) if by_px else mask
