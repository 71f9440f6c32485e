"""What fast scores are held against: one Python value per pair of objects, and scikit-image."""

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from skimage.metrics import adapted_rand_error, variation_of_information

from overtile.geometry.components import IGNORE


def pairs(reference_ids, reference_classes, segmented_ids, segmented_classes):
    """(reference id, reference class, segmented id, segmented class) -> pixels, none ignored."""
    counts: dict[tuple[int, int, int, int], int] = {}
    columns = (reference_ids, reference_classes, segmented_ids, segmented_classes)
    for pair in zip(*(np.ravel(column).tolist() for column in columns), strict=True):
        if IGNORE not in (pair[1], pair[3]):
            counts[pair] = counts.get(pair, 0) + 1
    return counts


def object_scores(pairs, iou_threshold):
    """Objects that match one to one within their class, as many as possible."""
    reference: dict[tuple[int, int], int] = {}
    segmented: dict[tuple[int, int], int] = {}
    for (r, rc, s, sc), size in pairs.items():
        if r and rc:
            reference[r, rc] = reference.get((r, rc), 0) + size
        if s and sc:
            segmented[s, sc] = segmented.get((s, sc), 0) + size
    rows = {name: i for i, name in enumerate(reference)}
    columns = {name: i for i, name in enumerate(segmented)}
    matches = [
        (rows[r, rc], columns[s, sc])
        for (r, rc, s, sc), both in pairs.items()
        if r
        and s
        and rc
        and rc == sc
        and both / (reference[r, rc] + segmented[s, sc] - both) >= iou_threshold
    ]
    graph = csr_array(
        (np.ones(len(matches)), tuple(np.array(matches, dtype=int).reshape(-1, 2).T)),
        shape=(max(1, len(rows)), max(1, len(columns))),
    )
    found = int((maximum_bipartite_matching(graph) >= 0).sum()) if matches else 0
    either = len(rows) + len(columns)
    return {
        "iou_threshold": iou_threshold,
        "reference": len(rows),
        "segmented": len(columns),
        "matched": found,
        "precision": found / len(columns) if columns else None,
        "recall": found / len(rows) if rows else None,
        "f1": 2 * found / either if either else None,
    }


def partition_scores(pairs):
    """Rand and information scores by scikit-image, from a table of all objects."""
    table = foreground_table(pairs)
    if table is None:
        return {"rand": None, "information": None}
    with np.errstate(invalid="ignore"):  # objects of one pixel have no pairs
        _, split, merge = np.nan_to_num(adapted_rand_error(table=table), nan=1.0)
    p = table / table.sum()
    nothing = np.empty(0)
    splits, merges = variation_of_information(nothing, nothing, table=p)
    entropies = [entropy_bits(np.ravel(p.sum(axis=axis))) for axis in (0, 1)]
    shared = max(0.0, entropies[1] - float(merges))
    return {
        "rand": {
            "f1": float(2 * split * merge / (split + merge)) if split + merge else 0.0,
            "split": float(split),
            "merge": float(merge),
        },
        "information": {
            "f1": 2 * shared / sum(entropies) if sum(entropies) > 0 else 1.0,
            "splits_bits": max(0.0, float(splits)),
            "merges_bits": max(0.0, float(merges)),
        },
    }


def foreground_table(pairs):
    """Pixels by (reference object, segmented object), csr; None without reference objects."""
    kept = [((r, rc), (s, sc), n) for (r, rc, s, sc), n in pairs.items() if r and rc]
    if not kept:
        return None
    rows = {name: i for i, name in enumerate(dict.fromkeys(r for r, _, _ in kept))}
    columns = {name: i for i, name in enumerate(dict.fromkeys(s for _, s, _ in kept))}
    sizes = np.array([n for _, _, n in kept], dtype=float)
    places = ([rows[r] for r, _, _ in kept], [columns[s] for _, s, _ in kept])
    return csr_array((sizes, places), shape=(len(rows), len(columns)))


def entropy_bits(p):
    """Shannon entropy of shares that sum to 1."""
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum())
