"""Where to look closer: the window of a slide in which two labellings disagree most."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from skimage.segmentation import find_boundaries

from overtile.reporting.planes import Box, read_labels
from overtile.stores.store import Store

WINDOW_OBJECTS = 6
LARGEST_WINDOW_PX = 320
SMALLEST_WINDOW_PX = 24
TOLERANCE_PX = 2


def find_window(image: Store, labels: Sequence[Store | None], level: int) -> tuple[int, Box]:
    """The window with most disagreement: its level, and its place there.

    Searched from coarse to fine, each time only inside the window before, down to the level where
    a window of about six objects has at most 320 px.
    """
    wanted = window_px(image, [store for store in labels if store is not None])
    area = tuple(slice(0, n) for n in image.shapes[level][-2:])
    while True:
        planes = [read_labels(store, level, area) for store in labels]
        factor = image.shape[-1] / image.shapes[level][-1]
        edge = max(SMALLEST_WINDOW_PX, round(wanted / factor))
        box = densest_box(disagreement(*planes, shape=box_size(area)), edge)
        box = tuple(
            slice(a.start + b.start, a.start + b.stop) for a, b in zip(area, box, strict=True)
        )
        if level == 0 or wanted / factor * 2 > LARGEST_WINDOW_PX:
            return level, box
        area = box_at_level(image, level, box, level - 1)
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
        alone = (one & ~widen(two, TOLERANCE_PX)) | (two & ~widen(one, TOLERANCE_PX))
        if alone.any():
            return alone
    return lines[-1]


def densest_box(mask: np.ndarray, edge: int) -> Box:
    """The window of `edge` x `edge` px, cut to the mask, that holds most of it.

    mask: (y, x) bool, or whole numbers to add up. Of several windows the one nearest their middle:
    with an empty mask the middle of the picture.
    """
    sizes = [min(edge, n) for n in mask.shape]
    sums = np.pad(mask.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    h, w = sizes
    inside = sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]
    fullest = np.argwhere(inside == inside.max())
    middle = fullest.mean(axis=0)  # of several as full, the one that has the rest around it
    start = fullest[np.abs(fullest - middle).sum(axis=1).argmin()].tolist()
    return tuple(slice(s, s + size) for s, size in zip(start, sizes, strict=True))


def box_size(box: Box) -> tuple[int, int]:
    """(y, x) edges of a window, in pixels."""
    return tuple(side.stop - side.start for side in box)


def box_at_level(image: Store, level: int, box: Box, other: int) -> Box:
    """The same window at another level, cut to the picture and at least 1 px wide."""
    sides = []
    here, there = image.shapes[level][-2:], image.shapes[other][-2:]
    for side, n, m in zip(box, here, there, strict=True):
        start = min(m - 1, round(side.start * m / n))
        sides.append(slice(start, min(m, max(start + 1, round(side.stop * m / n)))))
    return tuple(sides)


def widen(mask: np.ndarray, by_px: int) -> np.ndarray:
    """A mask (y, x) bool grown by so many pixels along both axes."""
    return ndimage.maximum_filter(mask, 2 * by_px + 1) if by_px else mask
