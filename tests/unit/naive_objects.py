"""From probabilities to objects as defined, word for word, over whole pictures in memory."""

from itertools import product

import numpy as np
from scipy import ndimage

STEPS = 255


def neighbours(place, shape):
    """Face neighbours in raster order."""
    found = []
    for axis, length in enumerate(shape):
        for step in (-1, 1):
            at = place[axis] + step
            if 0 <= at < length:
                found.append((*place[:axis], at, *place[axis + 1 :]))
    return sorted(found)


def flood(foreground, classes, seeds, rounds):
    """Every round all pixels look at the state of all their neighbours one round before."""
    shape = seeds.shape
    state = {tuple(p): (STEPS, None, int(seeds[tuple(p)])) for p in np.argwhere(seeds)}
    free = [tuple(p) for p in np.argwhere((classes > 0) & (seeds == 0))]
    for _ in range(rounds):
        before = dict(state)
        for p in free:
            offers = [
                (min(before[q][0], int(foreground[p])), q)
                for q in neighbours(p, shape)
                if q in before and classes[q] == classes[p]
            ]
            own, predecessor, _ = before.get(p, (0, None, 0))
            largest = max((offer for offer, _ in offers), default=0)
            if largest > own:
                own = largest
                predecessor = min(
                    (q for offer, q in offers if offer == largest), key=lambda q: (before[q][2], q)
                )
            if predecessor is not None:
                state[p] = (own, predecessor, before[predecessor][2])
    result = np.zeros_like(seeds)
    for place, (_, _, name) in state.items():
        result[place] = name
    return result


def renumber(ids, is_kept=lambda name: True):
    """Ids 1, 2, ... in raster order of first pixels, 0 for what is not kept."""
    names = [name for name in dict.fromkeys(ids.ravel().tolist()) if name and is_kept(name)]
    result = np.zeros(ids.shape, np.int64)
    for number, name in enumerate(names, start=1):
        result[ids == name] = number
    return result


def components(classes):
    """Face-connected components of each class, numbered in raster order of first pixels."""
    ids = np.zeros(classes.shape, np.int64)
    for value in set(classes.ravel().tolist()) - {0}:
        part, _ = ndimage.label(classes == value)
        ids[part > 0] = part[part > 0] + ids.max()
    return renumber(ids)


def without_small(ids, least_px):
    """Objects of fewer pixels become background; the others are renumbered."""
    sizes = dict(zip(*np.unique(ids, return_counts=True), strict=True))
    return renumber(ids, lambda name: sizes[name] >= least_px)


def fill_holes(ids, most_px):
    """Components of background, joined by corners too, one by one. A plane has two axes."""
    if ids.shape[0] == 1:
        return _fill_holes(ids[0], most_px)[None]
    return _fill_holes(ids, most_px)


def _fill_holes(ids, most_px):
    result = ids.copy()
    parts, count = ndimage.label(ids == 0, np.ones((3,) * ids.ndim))
    for part in range(1, count + 1):
        places = [tuple(p) for p in np.argwhere(parts == part).tolist()]
        at_border = any(i in (0, n - 1) for p in places for i, n in zip(p, ids.shape, strict=True))
        beside = {int(ids[q]) for p in places for q in neighbours(p, ids.shape)} - {0}
        if len(places) <= most_px and not at_border and len(beside) == 1:
            result[parts == part] = beside.pop()
    return result


def close_gaps(ids, border_px):
    """Every pixel of background is compared with every pixel of every object; then step by step."""
    nearest = nearest_across_gaps(ids, border_px)
    result = ids.copy()
    for _ in range(border_px):
        before = result.copy()
        for p, name in nearest.items():
            if name in (before[q] for q in neighbours(p, ids.shape)):
                result[p] = name
    before = result.copy()
    for p in nearest:
        beside = [before[q] for q in neighbours(p, ids.shape) if before[q]]
        if before[p] == 0 and beside:
            result[p] = beside[0]
    return result


def nearest_across_gaps(ids, border_px):
    """By pixel of a gap that is narrow enough, the object that is nearest."""
    cells = np.argwhere(ids)
    names = ids[tuple(cells.T)]
    found = {}
    if len(set(names.tolist())) < 2:
        return found
    for place in np.argwhere(ids == 0):
        squares = ((cells - place) ** 2).sum(axis=1)
        nearest = names[squares.argmin()]  # the first in raster order of the nearest
        d_1, d_2 = np.sqrt(squares.min()), np.sqrt(squares[names != nearest].min())
        if d_1 + d_2 <= border_px + 1:
            found[tuple(place)] = nearest
    return found


def class_map(probabilities, threshold):
    """Classes (z, y, x) of probabilities (c, z, y, x) in steps of 1 / 255."""
    if threshold is None:
        return probabilities.argmax(axis=0).astype(np.uint8)
    is_foreground = foreground(probabilities) / STEPS >= threshold
    return np.where(is_foreground, 1 + probabilities[1:].argmax(axis=0), 0).astype(np.uint8)


def foreground(probabilities):
    """1 - p(background), in steps of 1 / 255."""
    return STEPS - probabilities[0].astype(int)


def segment(probabilities, how, least_px):
    """Ids and classes, (z, y, x), of probabilities (c, z, y, x); how: a `Segmenting`."""
    classes = class_map(probabilities, how.threshold)
    if how.seed_threshold is None:
        ids = components(classes)
    else:
        is_seed = foreground(probabilities) / STEPS >= how.seed_threshold
        seeds = without_small(components(np.where(is_seed, classes, 0)), how.min_seed_px)
        ids = flood(foreground(probabilities), classes, seeds, how.grow_px)
    class_of = {0: 0}
    for place in product(*map(range, ids.shape)):
        class_of.setdefault(int(ids[place]), int(classes[place]))
    ids = fill_holes(ids, how.max_hole_px) if how.max_hole_px else ids
    ids = close_gaps(ids, how.border_px) if how.border_px else ids
    kept = without_small(ids, least_px)
    by_id = np.array([class_of[name] for name in range(max(class_of) + 1)])
    return kept, np.where(kept > 0, by_id[ids], 0)
