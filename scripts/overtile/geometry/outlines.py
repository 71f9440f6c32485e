"""Outlines of objects along the edges of their pixels, traced block by block and then joined.

An object's outline is made of unit edges, each the side of one pixel whose neighbour there is not
of the object. Edges are walked so that the object lies to the right as seen on a screen: along the
top side of a pixel to the right, down its right side, back along the bottom, and up the left. The
edge that follows depends on three pixels only. So every edge belongs to one block, that of its
pixel, and a block that sees one pixel more on each side can follow its edges until they close or
leave it. What leaves is a chain that names the edge it goes on with. Chains of all blocks, put one
behind the other by these names, are the same rings as those of the whole picture.

Pixels of an object that meet at a corner only are not connected there: its pieces are
face-connected, as objects are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from overtile.geometry.compiled import compiled

RIGHT, DOWN = (1, 0, -1, 0), (0, 1, 0, -1)
"""Steps in x and y of the four directions an edge may run in: right, down, left, up."""

END_X, END_Y = (1, 1, 0, 0), (0, 1, 1, 0)
"""Where an edge ends, as seen from the upper left corner of its pixel."""


@dataclass(frozen=True)
class Chains:
    """Pieces of outlines, flat: chain i has the corners [starts[i], starts[i + 1]).

    owners: (n,) ids. planes: (n,) z of the plane, px. first, after: (n,) int64, names of its first
    edge and of the edge that follows its last; the same where a chain is closed. corners: (m, 2)
    int32, (y, x) of pixel corners where the outline turns, its first edge's end or later.
    """

    owners: np.ndarray
    planes: np.ndarray
    first: np.ndarray
    after: np.ndarray
    starts: np.ndarray
    corners: np.ndarray

    def take(self, chosen: np.ndarray) -> "Chains":
        """The chains at these places, in this order."""
        lengths = np.diff(self.starts)[chosen]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        places = np.repeat(self.starts[:-1][chosen] - starts[:-1], lengths) + np.arange(starts[-1])
        return Chains(
            owners=self.owners[chosen],
            planes=self.planes[chosen],
            first=self.first[chosen],
            after=self.after[chosen],
            starts=starts,
            corners=self.corners[places],
        )

    @staticmethod
    def joined(parts: Sequence["Chains"]) -> "Chains":
        """All chains of several, which must not be none."""
        offsets = np.cumsum([0, *(part.starts[-1] for part in parts)])
        ends = [part.starts[1:] + offset for part, offset in zip(parts, offsets, strict=False)]
        return Chains(
            owners=np.concatenate([part.owners for part in parts]),
            planes=np.concatenate([part.planes for part in parts]),
            first=np.concatenate([part.first for part in parts]),
            after=np.concatenate([part.after for part in parts]),
            starts=np.concatenate([[0], *ends]),
            corners=np.concatenate([part.corners for part in parts]),
        )


def trace(framed: np.ndarray, start: Sequence[int], shape: Sequence[int]) -> Chains:
    """Outlines of all objects in the planes of a block, as far as they lie in it.

    Planes have outlines of their own.

    Parameters
    ----------
    framed : ndarray, (z, y + 2, x + 2), integers
        Ids, 0 for background: the block and one pixel more on each side in y and x, 0 beyond the
        picture.
    start : sequence of int
        (z, y, x) of the block in the picture, px.
    shape : sequence of int
        (z, y, x) of the picture, px.

    Returns
    -------
    Chains
        Closed where an outline lies in the block, else pieces for `join`.

    Examples
    --------
    >>> framed = np.pad(np.array([[[4, 4]]]), ((0, 0), (1, 1), (1, 1)))
    >>> trace(framed, (0, 0, 0), (1, 1, 2)).corners.tolist()
    [[0, 2], [1, 2], [1, 0], [0, 0]]
    """
    corners, found = _trace(framed)
    z, y, x = found[:, 0], found[:, 1], found[:, 2]
    offset = np.array([start[1] - 1, start[2] - 1])

    def name(y: np.ndarray, x: np.ndarray, direction: np.ndarray) -> np.ndarray:
        row = (z + start[0]) * shape[1] + y + offset[0]
        return (row * shape[2] + x + offset[1]) * 4 + direction

    return Chains(
        owners=framed[z, y, x],
        planes=z + start[0],
        first=name(y, x, found[:, 3]),
        after=name(found[:, 4], found[:, 5], found[:, 6]),
        starts=np.concatenate([[0], found[:, 7]]),
        corners=corners + offset.astype(np.int32),
    )


def join(chains: Chains) -> Chains:
    """Put chains one behind the other until all are closed.

    Parameters
    ----------
    chains : Chains
        All of some objects, in any order.

    Returns
    -------
    Chains
        Closed ones, one per ring.

    Examples
    --------
    >>> framed = np.pad(np.array([[[4, 4]]]), ((0, 0), (1, 1), (1, 1)))
    >>> left = trace(framed[:, :, :3], (0, 0, 0), (1, 1, 2))
    >>> right = trace(framed[:, :, 1:], (0, 0, 1), (1, 1, 2))
    >>> len(join(Chains.joined([left, right])).owners)
    1
    """
    order = np.argsort(chains.first)
    place = np.searchsorted(chains.first[order], chains.after)
    sequence, is_head = _follow_chains(order[place])
    in_order = chains.take(sequence)
    heads = np.flatnonzero(is_head)
    return Chains(
        owners=in_order.owners[heads],
        planes=in_order.planes[heads],
        first=in_order.first[heads],
        after=in_order.first[heads],
        starts=in_order.starts[np.append(heads, len(sequence))],
        corners=in_order.corners,
    )


@compiled
def _follow_chains(successor):
    """Chains in the order of their rings, and which of them are the first of a ring."""
    n = len(successor)
    sequence, is_head, used = np.empty(n, np.int64), np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    count = 0
    for head in range(n):
        chain = head
        if not used[head]:
            is_head[count] = True
        while not used[chain]:
            used[chain] = True
            sequence[count] = chain
            count += 1
            chain = successor[chain]
    return sequence, is_head


@compiled
def _trace(framed):
    """Corners (m, 2), and per chain: z, y, x and direction of its first edge, y, x and direction
    of the edge after it, and where its corners end. All y and x as in `framed`.
    """
    corners, chains = np.empty((256, 2), np.int32), np.empty((64, 8), np.int64)
    n = count = 0
    height, width = framed.shape[1] - 2, framed.shape[2] - 2
    for z in range(len(framed)):
        plane = framed[z]
        seen = np.zeros(plane.shape, np.uint8)
        # Chains that come in over the border first. What is left then are whole rings, each of
        # which has an edge that runs to the right.
        for y in range(1, height + 1):
            for x in range(1, width + 1, 1 if y in (1, height) else max(1, width - 1)):
                for d in range(4):
                    if _is_edge(plane, y, x, d) and not _comes_from_inside(plane, y, x, d):
                        first = (z, y, x, d)
                        corners, n, chains = _walk(plane, seen, first, corners, n, chains, count)
                        count += 1
        for y in range(1, height + 1):
            x = _next_top(plane[y], plane[y - 1], seen[y], 1)
            while x <= width:
                corners, n, chains = _walk(plane, seen, (z, y, x, 0), corners, n, chains, count)
                count += 1
                x = _next_top(plane[y], plane[y - 1], seen[y], x + 1)
    return corners[:n].copy(), chains[:count].copy()


@compiled
def _next_top(row, above, seen, x):
    """The next pixel of a row, from x on, whose top side is an edge not walked yet."""
    while x < len(row) - 1 and (row[x] == above[x] or row[x] == 0 or seen[x] & 1):
        x += 1
    return x


@compiled
def _walk(plane, seen, first, corners, n, chains, count):
    """Walk from a chain's first edge until it closes or leaves the block; note where it turns."""
    height, width = plane.shape[0] - 2, plane.shape[1] - 2
    _, y, x, d = first
    while True:
        seen[y, x] |= 1 << d
        next_y, next_x, next_d = _edge_after(plane, y, x, d)
        if next_d != d:
            if n == len(corners):
                corners = np.concatenate((corners, np.empty_like(corners)))
            corners[n, 0], corners[n, 1] = y + END_Y[d], x + END_X[d]
            n += 1
        y, x, d = next_y, next_x, next_d
        is_outside = y < 1 or y > height or x < 1 or x > width
        if is_outside or (y, x, d) == first[1:]:
            break
    if count == len(chains):
        chains = np.concatenate((chains, np.empty_like(chains)))
    chain = chains[count]
    chain[0], chain[1], chain[2], chain[3] = first
    chain[4], chain[5], chain[6], chain[7] = y, x, d, n
    return corners, n, chains


@compiled
def _is_edge(plane, y, x, d):
    """Whether the side of a pixel that runs in direction d is an edge of an object."""
    out = (d + 3) % 4
    return plane[y, x] != 0 and plane[y + DOWN[out], x + RIGHT[out]] != plane[y, x]


@compiled
def _edge_after(plane, y, x, d):
    """The edge after edge d of pixel (y, x): around this pixel, straight on, or turning away."""
    own, out = plane[y, x], (d + 3) % 4
    y_ahead, x_ahead = y + DOWN[d], x + RIGHT[d]
    if plane[y_ahead, x_ahead] != own:
        return y, x, (d + 1) % 4
    if plane[y_ahead + DOWN[out], x_ahead + RIGHT[out]] != own:
        return y_ahead, x_ahead, d
    return y_ahead + DOWN[out], x_ahead + RIGHT[out], out


@compiled
def _comes_from_inside(plane, y, x, d):
    """Whether the edge before edge d of pixel (y, x) is one of a pixel in the block."""
    own, out = plane[y, x], (d + 3) % 4
    y_before, x_before = y - DOWN[d], x - RIGHT[d]
    if plane[y_before, x_before] != own:
        return True
    if plane[y_before + DOWN[out], x_before + RIGHT[out]] == own:
        y_before, x_before = y_before + DOWN[out], x_before + RIGHT[out]
    return 1 <= y_before <= plane.shape[0] - 2 and 1 <= x_before <= plane.shape[1] - 2
