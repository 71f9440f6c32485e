"""Pixels by pair of objects, as sorted columns that are merged: a few bytes for each pair."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

LARGEST_KEY = 2**63
AT_ONCE = 2**20
"""Rows or groups for which numbers of 8 bytes are made at the same time."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Every pair of a reference object and a segmented object that share pixels, each once.

    Five columns of n rows, each of the smallest unsigned integers that hold it: ids as the stores
    have them, classes, and how many pixels have this pair. Rows increase by the first four, taken
    as one tuple; so equal counts have equal columns. An object is an id > 0 of a class > 0. Pairs
    of which neither is one are left out: no score needs them.
    """

    reference_id: np.ndarray
    reference_class: np.ndarray
    segmented_id: np.ndarray
    segmented_class: np.ndarray
    pixels: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels)

    def __iter__(self) -> Iterator[np.ndarray]:
        """The columns."""
        return (getattr(self, column.name) for column in fields(self))

    @property
    def of_reference(self) -> np.ndarray:
        """Which rows are of a reference object, (n,) bool."""
        return (self.reference_id > 0) & (self.reference_class > 0)

    @property
    def of_segmentation(self) -> np.ndarray:
        """Which rows are of a segmented object, (n,) bool."""
        return (self.segmented_id > 0) & (self.segmented_class > 0)

    def rows(self, kept: np.ndarray | slice) -> "Pairs":
        """Some of the rows: a slice, a mask, or places in increasing order."""
        return Pairs(*(column[kept] for column in self))


def count_pairs(columns: Sequence[np.ndarray]) -> Pairs:
    """The pairs of one block: four arrays (pixels,) of unsigned integers, in the order of `Pairs`.

    Memory: some 50 bytes per pixel.
    """
    (keys,) = sort_keys([columns])
    runs = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)])
    lengths = np.diff(runs, append=len(keys))
    order = np.argsort(keys[runs])
    firsts = first_of_each(keys[runs], order)
    pixels = _totals(lengths, order, firsts)
    found = Pairs(*(column[runs[order[firsts]]] for column in columns), pixels)
    return Pairs(*map(smallest, found.rows(found.of_reference | found.of_segmentation)))


def merged(one: Pairs, other: Pairs) -> Pairs:
    """The sum of two counts.

    Time is near linear in the rows. Memory: the result, the two, and at most 16 bytes per row.
    """
    if len(one) < len(other):
        one, other = other, one
    if not len(other):
        return one
    places, is_known = _find(one, other)
    sums = one.pixels[places[is_known]].astype(np.uint64) + other.pixels[is_known]
    pixels = one.pixels.astype(np.result_type(one.pixels, smallest(sums)))
    pixels[places[is_known]] = sums
    is_new = ~is_known
    from_one = np.ones(len(one) + np.count_nonzero(is_new), dtype=bool)
    from_one[places[is_new] + np.arange(np.count_nonzero(is_new))] = False
    del places
    columns = (*list(one)[:-1], pixels)
    return Pairs(
        *(_interleave(a, b[is_new], from_one) for a, b in zip(columns, other, strict=True))
    )


def _find(one: Pairs, other: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Where the rows of the other belong in the one, and which of them are already there."""
    keys, wanted = sort_keys([list(pairs)[:-1] for pairs in (one, other)])
    places = np.searchsorted(keys, wanted)
    return places, keys[np.minimum(places, len(keys) - 1)] == wanted


def _interleave(one: np.ndarray, other: np.ndarray, from_one: np.ndarray) -> np.ndarray:
    column = np.empty(len(from_one), np.result_type(one, other))
    column[from_one] = one
    column[~from_one] = other
    return column


def smallest(column: np.ndarray) -> np.ndarray:
    """The same numbers in the smallest unsigned integers that hold them."""
    return column.astype(np.min_scalar_type(int(column.max(initial=0))), copy=False)


@dataclass(frozen=True, eq=False)
class Totals:
    """Pixels of each (id, class) of some rows, background too, in increasing order.

    pixels: (groups,). order: rows by group, (n,). firsts: places in order at which groups begin.
    """

    pixels: np.ndarray
    order: np.ndarray
    firsts: np.ndarray

    @classmethod
    def of(cls, ids: np.ndarray, classes: np.ndarray, pixels: np.ndarray) -> "Totals":
        """Add up the pixels of rows of one id and class. Memory: 12 bytes per row, or 16."""
        keys = smallest(sort_keys([(ids, classes)])[0])
        order = np.argsort(keys)
        firsts = first_of_each(keys, order)
        return cls(smallest(_totals(pixels, order, firsts)), order, firsts)

    def count(self, chosen: np.ndarray) -> int:
        """How many groups have rows that are chosen, (n,) bool, as all rows of a group are."""
        return int(np.count_nonzero(chosen[self.order[self.firsts]]))

    def at_rows(self) -> np.ndarray:
        """At each row the pixels of its group, (n,)."""
        at_rows = np.empty(len(self.order), self.pixels.dtype)
        lengths = np.diff(self.firsts, append=len(self.order))
        at_rows[self.order] = np.repeat(self.pixels, lengths)
        return at_rows


def _totals(pixels: np.ndarray, order: np.ndarray, firsts: np.ndarray) -> np.ndarray:
    """Pixels of each group, int64; only those of some groups are brought in order at once."""
    totals = np.empty(len(firsts), dtype=np.int64)
    ends = np.append(firsts, len(order))
    for start in range(0, len(firsts), AT_ONCE):
        stop = min(start + AT_ONCE, len(firsts))
        part = pixels[order[ends[start] : ends[stop]]]
        totals[start:stop] = np.add.reduceat(part, firsts[start:stop] - ends[start], dtype=np.int64)
    return totals


def sort_keys(tables: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """One uint64 per row, for tables of equal columns of unsigned integers.

    Of all rows, in whichever table, a row's key is less than another's where the row itself is, as
    a tuple, and equal where it is equal. Numbers that are too large for that are replaced by their
    ranks; below 2^31 rows these fit.
    """
    keys, span = [np.zeros(len(table[0]), np.uint64) for table in tables], 1
    for columns in zip(*tables, strict=True):
        size = 1 + max(int(column.max(initial=0)) for column in columns)
        if span * size > LARGEST_KEY:
            keys, span = _ranks(keys)
        if span * size > LARGEST_KEY:
            columns, size = _ranks(columns)
        for key, column in zip(keys, columns, strict=True):
            key *= np.uint64(size)
            key += column
        span *= size
    return keys


def _ranks(columns: Sequence[np.ndarray]) -> tuple[list[np.ndarray], int]:
    """Each number's place among all distinct ones, uint64, and how many these are."""
    known = np.unique(np.concatenate([np.unique(column) for column in columns]))
    return [np.searchsorted(known, c).astype(np.uint64) for c in columns], max(1, len(known))


def first_of_each(keys: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Places in an order of rows at which a key begins, increasing; equal keys are neighbours."""
    is_first = np.ones(len(order), dtype=bool)
    for start in range(1, len(order), AT_ONCE):
        part = keys[order[start - 1 : start + AT_ONCE]]
        np.not_equal(part[1:], part[:-1], out=is_first[start : start + AT_ONCE])
    return np.flatnonzero(is_first)
