"""Polygons with holes, as drawing programs and GIS know them, from closed outlines."""

from dataclasses import dataclass

import numpy as np

from overtile.geometry.compiled import compiled
from overtile.geometry.outlines import Chains


@dataclass(frozen=True)
class Polygons:
    """Outlines of objects, flat: ring i has the corners [starts[i], starts[i + 1]).

    owners: (n,) ids. planes: (n,) z, px. exteriors: (n,) for each ring the exterior ring whose hole
    it is, itself if it is no hole. areas_px: (n,) int64, signed: holes count below 0. corners:
    (m, 2) int32, (y, x), where pixel (0, 0) covers 0 to 1; the first is not repeated at the end.
    groups: (k + 1,), object j of a plane has the rings [groups[j], groups[j + 1]).

    No ring passes a point twice, and no two rings have more than points in common. Exteriors run
    counter-clockwise in coordinates (x, y), which is clockwise on a screen, and holes the other
    way (RFC 7946, section 3.1.6). Rings begin at their first corner in raster order and are sorted
    by id, plane and this corner.
    """

    owners: np.ndarray
    planes: np.ndarray
    exteriors: np.ndarray
    areas_px: np.ndarray
    starts: np.ndarray
    corners: np.ndarray
    groups: np.ndarray

    def rings(self, group: int) -> list[list[list[list[int]]]]:
        """Polygons of one object as lists of rings, exterior first, of (x, y), the first repeated.

        This is the form of a GeoJSON MultiPolygon.
        """
        low, high = self.groups[group], self.groups[group + 1]
        bounds = self.starts[low : high + 1] - self.starts[low]
        points = self.corners[self.starts[low] : self.starts[high], ::-1].tolist()
        polygons: dict[int, list] = {}
        holes = []
        for ring, exterior in enumerate((self.exteriors[low:high] - low).tolist()):
            closed = points[bounds[ring] : bounds[ring + 1]]
            closed.append(closed[0])
            if exterior == ring:
                polygons[ring] = [closed]
            else:
                holes.append((exterior, closed))
        for exterior, hole in holes:
            polygons[exterior].append(hole)
        return list(polygons.values())


def make_polygons(rings: Chains) -> Polygons:
    """Polygons of closed outlines of whole objects.

    A piece may touch itself at a corner, where its outline passes twice. Such an outline is cut in
    two there, which makes an exterior and a hole of it, or two holes.

    Parameters
    ----------
    rings : Chains
        Closed, as `outlines.join` gives them.

    Returns
    -------
    Polygons
        Exteriors and holes, sorted by id, plane and first corner.

    Examples
    --------
    >>> from overtile.geometry.outlines import join, trace
    >>> framed = np.pad(np.array([[[4, 4]]]), ((0, 0), (1, 1), (1, 1)))
    >>> make_polygons(join(trace(framed, (0, 0, 0), (1, 1, 2)))).rings(0)
    [[[[0, 0], [2, 0], [2, 1], [0, 1], [0, 0]]]]
    """
    source, areas, starts, corners = _cut_apart(rings.starts, rings.corners)
    owners, planes = rings.owners[source], rings.planes[source]
    heads = corners[starts[:-1]]
    order = np.lexsort((heads[:, 1], heads[:, 0], planes, owners))
    chosen = Chains(owners, planes, source, source, starts, corners).take(order)
    is_new = (np.diff(chosen.owners) != 0) | (np.diff(chosen.planes) != 0)
    n = len(order)
    groups = np.concatenate([[0], np.flatnonzero(is_new) + 1, [n]]) if n else np.zeros(1, np.int64)
    areas = areas[order]
    exteriors = _exteriors(groups, areas, chosen.starts, chosen.corners)
    return Polygons(
        chosen.owners, chosen.planes, exteriors, areas, chosen.starts, chosen.corners, groups
    )


@compiled
def _cut_apart(starts, corners):
    """Rings without a corner that they pass twice.

    Returns for each the ring it was cut from, its signed area in pixels, the bounds of its
    corners, and all corners. A corner is passed twice at most. Where it is, the two ways on from
    it are swapped, and as outlines touch themselves but never cross, each swap cuts a ring in two.
    """
    most = len(corners) // 4
    source, areas = np.empty(most, np.int64), np.empty(most, np.int64)
    bounds, result = np.zeros(most + 1, np.int64), np.empty_like(corners)
    count = n = 0
    for ring in range(len(starts) - 1):
        own = corners[starts[ring] : starts[ring + 1]]
        places = _place(own[:, 0].astype(np.int64), own[:, 1])
        order = np.argsort(places, kind="mergesort")
        after = np.arange(1, len(own) + 1)
        after[-1] = 0
        for i in range(1, len(own)):
            a, b = order[i - 1], order[i]
            if places[a] == places[b]:
                after[a], after[b] = after[b], after[a]
        for head in order:
            if after[head] < 0:
                continue
            source[count], areas[count] = ring, 0
            i = head
            while after[i] >= 0:
                result[n] = own[i]
                n += 1
                following = after[i]
                # Only vertical sides add to the area left of them.
                areas[count] += own[i, 1] * (np.int64(own[following, 0]) - own[i, 0])
                after[i] = -1
                i = following
            count += 1
            bounds[count] = n
    return source[:count].copy(), areas[:count].copy(), bounds[: count + 1].copy(), result[:n]


@compiled
def _exteriors(groups, areas, starts, corners):
    """For each ring the exterior whose hole it is; itself if it is one.

    The pixel above a hole's first corner belongs to the piece that has the hole. The first side to
    the left of it is one of the same piece: of its exterior, or of a hole that is further up.
    """
    result = np.arange(len(areas))
    for group in range(len(groups) - 1):
        low, high = groups[group], groups[group + 1]
        exteriors = np.flatnonzero(areas[low:high] > 0)
        if len(exteriors) == 1:
            result[low:high] = low + exteriors[0]
        elif len(exteriors) < high - low:
            places, rings = _vertical_sides(starts, corners, low, high)
            for ring in range(low, high):
                if areas[ring] < 0:
                    first = corners[starts[ring]]
                    above = _place(np.int64(first[0]) - 1, first[1])
                    side = np.searchsorted(places, above, side="right") - 1
                    result[ring] = result[rings[side]]
    return result


@compiled
def _vertical_sides(starts, corners, low, high):
    """All unit sides of the rings [low, high) that stand between two pixels of a row.

    Returns the places of the pixels to their right, in raster order, and their rings.
    """
    count = 0
    for ring in range(low, high):
        own = corners[starts[ring] : starts[ring + 1]]
        for i in range(len(own)):
            count += abs(own[i, 0] - own[i - 1, 0])
    places, rings = np.empty(count, np.int64), np.empty(count, np.int64)
    n = 0
    for ring in range(low, high):
        own = corners[starts[ring] : starts[ring + 1]]
        for i in range(len(own)):
            before, here = np.int64(own[i - 1, 0]), np.int64(own[i, 0])
            for y in range(min(before, here), max(before, here)):
                places[n], rings[n] = _place(y, own[i, 1]), ring
                n += 1
    order = np.argsort(places, kind="mergesort")
    return places[order], rings[order]


@compiled
def _place(y, x):
    """A number that grows in raster order. y: int64."""
    return y << 32 | x
