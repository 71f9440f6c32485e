"""Seeded watershed by a max-min path transform of bounded length: local, so that blocks agree."""

import numpy as np

from overtile.geometry.compiled import compiled

SEED = 255
"""A seed's bottleneck, and in place of the direction to a predecessor: it has none."""


def flood(
    foreground: np.ndarray, classes: np.ndarray, seeds: np.ndarray, grow_px: int
) -> np.ndarray:
    """Let seeds flood the pixels of their own class, up to grow_px face steps from them.

    A path's bottleneck is the least foreground on it; a seed's own is the largest there is. In each
    of grow_px rounds all pixels look at their face neighbours at once. A neighbour offers its
    bottleneck, or the pixel's foreground if that is less. The largest offer, if larger than what
    the pixel has, makes that neighbour its predecessor (of equal ones that of the smallest id, then
    the first in raster order). A pixel's id is its predecessor's one round before, also where that
    changes later on.

    - Bottlenecks are the largest that paths of at most grow_px steps have. Of equal ones the
      shorter path wins, as a path grows by one step per round.
    - A pixel depends on nothing more than grow_px face steps away.
    - Predecessors form a forest, as nobody offers more than what comes from a pixel itself: an
      object is connected, but where a better path crosses it and ends, by its length, before it
      has taken what lies behind.

    Parameters
    ----------
    foreground : ndarray, (y, x) or (z, y, x), uint8
        How probable it is that a pixel is no background; no seed comes where it is 0.
    classes : ndarray, the same shape, uint8
        0 is background, which stays so.
    seeds : ndarray, the same shape, any unsigned integers
        Ids of the seeds, each within one class; 0 for none.
    grow_px : int
        How many face steps a seed may go.

    Returns
    -------
    ndarray, the same shape, dtype of seeds
        Ids, 0 where no seed came.

    Raises
    ------
    ValueError
        If shapes differ, or a seed lies in background.

    References
    ----------
    Image foresting transform, Falcao, Stolfi and Lotufo 2004, doi:10.1109/TPAMI.2004.1261076; here
    with paths of bounded length.

    Examples
    --------
    >>> seeds = np.array([[1, 0, 0, 0, 0, 2]], np.uint8)
    >>> foreground = np.array([[9, 9, 9, 5, 9, 9]], np.uint8)
    >>> flood(foreground, np.ones((1, 6), np.uint8), seeds, 3)
    array([[1, 1, 1, 2, 2, 2]], dtype=uint8)
    """
    shapes = (foreground.shape, classes.shape, seeds.shape)
    if len(set(shapes)) > 1 or ((seeds > 0) & (classes == 0)).any():
        raise ValueError(
            f"foreground, classes and seeds have shapes {shapes}; allowed: one shape, and seeds "
            "where there is a class only"
        )
    axes = [n for n in seeds.shape if n > 1] or [1]
    rimmed = [np.pad(part.reshape(axes), 1) for part in (foreground, classes, seeds)]
    strides = [stride // seeds.itemsize for stride in rimmed[2].strides]
    steps = np.array([*(-stride for stride in strides), *reversed(strides)])
    _flood(*(part.ravel() for part in rimmed), steps, grow_px)
    inner = rimmed[2][(slice(1, -1),) * len(axes)]
    return inner.reshape(seeds.shape)


@compiled
def _flood(foreground, classes, ids, steps, rounds):
    """Flood in place. All arrays are flat, with a rim of class 0; steps lead to face neighbours.

    Only pixels to which a neighbour has something new to say look again.
    """
    bottleneck = np.where(ids > 0, SEED, 0).astype(np.uint8)
    source, is_waiting = bottleneck.copy(), np.zeros(ids.size, np.bool_)
    room = ((classes > 0) & (ids == 0)).sum()
    waiting, changed = np.empty(room, np.int64), np.empty(room, np.int64)
    found, found_ids = np.empty((2, room), np.uint8), np.empty(room, ids.dtype)
    count = 0
    for p in range(ids.size):
        if ids[p]:
            count = _tell(
                p, foreground, classes, ids, bottleneck, source, steps, is_waiting, waiting, count
            )
    for _ in range(rounds):
        n = 0
        for p in waiting[:count]:
            is_waiting[p] = False
            offer, name, way = _look(p, foreground, classes, ids, bottleneck, source, steps)
            if offer != bottleneck[p] or name != ids[p]:
                changed[n], found_ids[n], found[0, n], found[1, n] = p, name, offer, way
                n += 1
        for k in range(n):
            p = changed[k]
            bottleneck[p], source[p], ids[p] = found[0, k], found[1, k], found_ids[k]
        count = 0
        for p in changed[:n]:
            count = _tell(
                p, foreground, classes, ids, bottleneck, source, steps, is_waiting, waiting, count
            )


@compiled
def _tell(p, foreground, classes, ids, bottleneck, source, steps, is_waiting, waiting, count):
    """Let the neighbours wait that a changed pixel offers more, or whose predecessor it is."""
    for step in steps:
        q = p + step
        if classes[q] == classes[p] and source[q] != SEED and not is_waiting[q]:
            follows = ids[q] and q + steps[source[q]] == p and ids[q] != ids[p]
            if follows or min(bottleneck[p], foreground[q]) > bottleneck[q]:
                is_waiting[q] = True
                waiting[count] = q
                count += 1
    return count


@compiled
def _look(p, foreground, classes, ids, bottleneck, source, steps):
    """Bottleneck, id and direction to the predecessor that a pixel has after this round."""
    best, name, way = bottleneck[p], ids[p], source[p]
    if name:
        name = ids[p + steps[way]]
    for new in range(len(steps)):
        q = p + steps[new]
        if classes[q] == classes[p] and ids[q]:
            offer = min(bottleneck[q], foreground[p])
            if offer > best or (offer == best > bottleneck[p] and ids[q] < name):
                best, name, way = offer, ids[q], np.uint8(new)
    return best, name, way
