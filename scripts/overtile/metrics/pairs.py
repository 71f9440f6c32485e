"""Pixels by pair of objects, as sorted columns that are merged: a few bytes for each pair."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from overtile.metrics.columns import add_up, first_of_each, smallest, sort_keys


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
    """The pairs of one block.

    Parameters
    ----------
    columns : sequence of four ndarray, shape (pixels,)
        Unsigned integers, in the order of `Pairs`. Memory: some 50 bytes per pixel.

    Returns
    -------
    Pairs

    Examples
    --------
    >>> ids, cell = np.array([1, 1, 2], np.uint8), np.ones(3, np.uint8)
    >>> found = count_pairs([ids, cell, np.array([5, 5, 0], np.uint8), cell])
    >>> found.reference_id.tolist(), found.segmented_id.tolist(), found.pixels.tolist()
    ([1, 2], [5, 0], [2, 1])
    """
    (keys,) = sort_keys([columns])
    runs = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)])
    lengths = np.diff(runs, append=len(keys))
    order = np.argsort(keys[runs])
    firsts = first_of_each(keys[runs], order)
    pixels = add_up(lengths, order, firsts)
    places = runs[order[firsts]]
    found = Pairs(*[*(column[places] for column in columns), pixels])
    return Pairs(*map(smallest, found.rows(found.of_reference | found.of_segmentation)))


def merged(one: Pairs, other: Pairs) -> Pairs:
    """The sum of two counts.

    Time is near linear in the rows. Memory: the result, the two, and at most 16 bytes per row.

    Examples
    --------
    >>> columns = [np.array([n], np.uint8) for n in (1, 1, 5, 1)]
    >>> merged(count_pairs(columns), count_pairs(columns)).pixels.tolist()
    [2]
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
