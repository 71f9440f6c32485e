"""Columns of many rows: sorted, grouped and added up within a few bytes per row."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LARGEST_KEY = 2**63
AT_ONCE = 2**20
"""Rows or groups for which numbers of 8 bytes are made at the same time."""


def smallest(column: np.ndarray) -> np.ndarray:
    """The same numbers in the smallest unsigned integers that hold them.

    Examples
    --------
    >>> smallest(np.array([3, 300])).dtype
    dtype('uint16')
    """
    return column.astype(np.min_scalar_type(int(column.max(initial=0))), copy=False)


def sort_keys(tables: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """One number per row, so that numbers are in the order of the rows as tuples.

    Parameters
    ----------
    tables : sequence of sequences of ndarray
        Each has the same columns, (rows,), of unsigned integers.

    Returns
    -------
    list of ndarray of uint64, shape (rows,)
        One per table. Of all rows, in whichever table, a key is less than another where the row
        is, and equal where it is equal. Numbers that are too large for that are replaced by their
        ranks; below 2^31 rows these fit.

    Examples
    --------
    >>> ids, classes = np.array([2, 1, 2], np.uint8), np.array([1, 1, 0], np.uint8)
    >>> sort_keys([(ids, classes)])[0].tolist()
    [5, 3, 4]
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
    """Places in an order of rows at which a key begins, increasing; equal keys are neighbours.

    Examples
    --------
    >>> keys = np.array([7, 5, 7])
    >>> first_of_each(keys, order=np.array([1, 0, 2])).tolist()
    [0, 1]
    """
    is_first = np.ones(len(order), dtype=bool)
    for start in range(1, len(order), AT_ONCE):
        part = keys[order[start - 1 : start + AT_ONCE]]
        np.not_equal(part[1:], part[:-1], out=is_first[start : start + AT_ONCE])
    return np.flatnonzero(is_first)


def add_up(pixels: np.ndarray, order: np.ndarray, firsts: np.ndarray) -> np.ndarray:
    """Pixels of each group, int64; only those of some groups are brought in order at once.

    Parameters
    ----------
    pixels : ndarray, shape (rows,)
    order : ndarray, shape (rows,)
        Rows by group.
    firsts : ndarray, shape (groups,)
        Places in the order at which groups begin.

    Examples
    --------
    >>> add_up(np.array([1, 2, 3]), order=np.array([1, 0, 2]), firsts=np.array([0, 1])).tolist()
    [2, 4]
    """
    totals = np.empty(len(firsts), dtype=np.int64)
    ends = np.append(firsts, len(order))
    for start in range(0, len(firsts), AT_ONCE):
        stop = min(start + AT_ONCE, len(firsts))
        part = pixels[order[ends[start] : ends[stop]]]
        totals[start:stop] = np.add.reduceat(part, firsts[start:stop] - ends[start], dtype=np.int64)
    return totals


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
        return cls(smallest(add_up(pixels, order, firsts)), order, firsts)

    def count(self, chosen: np.ndarray) -> int:
        """How many groups have rows that are chosen, (n,) bool, as all rows of a group are."""
        return int(np.count_nonzero(chosen[self.order[self.firsts]]))

    def at_rows(self) -> np.ndarray:
        """At each row the pixels of its group, (n,)."""
        at_rows = np.empty(len(self.order), self.pixels.dtype)
        lengths = np.diff(self.firsts, append=len(self.order))
        at_rows[self.order] = np.repeat(self.pixels, lengths)
        return at_rows
