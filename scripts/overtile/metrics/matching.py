"""How many objects were found: those that match one to one."""

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from overtile.metrics.columns import AT_ONCE, Totals, sort_keys
from overtile.metrics.pairs import Pairs


def count_matches(pairs: Pairs, iou_threshold: float) -> tuple[int, int, int]:
    """Numbers of objects, and of those that match.

    Objects match one to one and only within a class; where several could, as many as possible do.

    Parameters
    ----------
    pairs : Pairs
        Pixels by pair of objects.
    iou_threshold : float
        Least intersection over union of a match, above 0, up to 1.

    Returns
    -------
    reference, segmented, matched : int

    Examples
    --------
    >>> from overtile.metrics.pairs import count_pairs
    >>> ids, cell = np.array([1, 1, 1, 2], np.uint8), np.ones(4, np.uint8)
    >>> count_matches(count_pairs([ids, cell, np.ones(4, np.uint8), cell]), 0.5)
    (2, 1, 1)
    """
    references, reference_px = _count_and_sizes(
        pairs.reference_id, pairs.reference_class, pairs.pixels, pairs.of_reference
    )
    segmented, segmented_px = _count_and_sizes(
        pairs.segmented_id, pairs.segmented_class, pairs.pixels, pairs.of_segmentation
    )
    is_allowed = np.zeros(len(pairs), dtype=bool)
    for start in range(0, len(pairs), AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        ious = _ious(pairs.pixels[rows], reference_px[rows], segmented_px[rows])
        is_allowed[rows] = _may_match(pairs.rows(rows)) & (ious >= iou_threshold)
    return references, segmented, _most_matches(pairs.rows(is_allowed))


def _ious(both: np.ndarray, reference: np.ndarray, segmented: np.ndarray) -> np.ndarray:
    """Intersection over union, from pixels of the pair and of either object."""
    both, reference, segmented = (a.astype(np.int64) for a in (both, reference, segmented))
    return both / (reference + segmented - both)


def _may_match(pairs: Pairs) -> np.ndarray:
    """Which pairs are of two objects of one class."""
    is_pair = pairs.of_reference & pairs.of_segmentation
    return is_pair & (pairs.reference_class == pairs.segmented_class)


def _count_and_sizes(
    ids: np.ndarray, classes: np.ndarray, pixels: np.ndarray, is_object: np.ndarray
) -> tuple[int, np.ndarray]:
    """How many objects there are, and at each row how many pixels its own has."""
    totals = Totals.of(ids, classes, pixels)
    return totals.count(is_object), totals.at_rows()


def _most_matches(allowed: Pairs) -> int:
    """How many of the pairs can be taken at most, if none of them shares an object with another."""
    reference = _number(allowed.reference_id, allowed.reference_class)
    segmented = _number(allowed.segmented_id, allowed.segmented_class)
    is_alone = (np.bincount(reference)[reference] == 1) & (np.bincount(segmented)[segmented] == 1)
    alone, rivals = int(np.count_nonzero(is_alone)), ~is_alone
    if alone == len(allowed):
        return alone
    places = reference[rivals], segmented[rivals]
    graph = csr_array((np.ones(len(places[0]), dtype=bool), places))
    return alone + int(np.count_nonzero(maximum_bipartite_matching(graph) >= 0))


def _number(ids: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """A number from 0 for the object of each row."""
    (keys,) = sort_keys([(ids, classes)])
    return np.unique(keys, return_inverse=True)[1]
