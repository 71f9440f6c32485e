"""Scores made of counts."""

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from overtile.evaluation.counts import Agreement


def ratio(part: float, whole: float) -> float | None:
    """part / whole, or None where there is nothing to measure."""
    return float(part / whole) if whole else None


def class_scores(confusion: np.ndarray, names: list[str]) -> dict[str, dict]:
    """Dice and IoU of each class; None for a class in neither picture."""
    scores = {}
    for number, name in enumerate(names):
        both = int(confusion[number, number])
        either = int(confusion[number].sum() + confusion[:, number].sum())
        scores[name] = {
            "dice": ratio(2 * both, either),
            "iou": ratio(both, either - both),
            "reference_px": int(confusion[number].sum()),
            "segmented_px": int(confusion[:, number].sum()),
        }
    return scores


def object_scores(agreement: Agreement, iou_threshold: float) -> dict:
    """Precision, recall and F1 of objects that match at an IoU of at least the threshold.

    Objects match one to one and only within a class; where several could, as many as possible do.
    F1 = 2 TP / (2 TP + FP + FN). All None if there is no object in either picture.
    """
    reference: dict[tuple[int, int], int] = {}
    segmented: dict[tuple[int, int], int] = {}
    for (r, rc, s, sc), size in agreement.pairs.items():
        if r and rc:
            reference[r, rc] = reference.get((r, rc), 0) + size
        if s and sc:
            segmented[s, sc] = segmented.get((s, sc), 0) + size
    rows = {name: i for i, name in enumerate(reference)}
    columns = {name: i for i, name in enumerate(segmented)}
    matches = [
        (rows[r, rc], columns[s, sc])
        for (r, rc, s, sc), both in agreement.pairs.items()
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
    return {
        "iou_threshold": iou_threshold,
        "reference": len(rows),
        "segmented": len(columns),
        "matched": found,
        "precision": ratio(found, len(columns)),
        "recall": ratio(found, len(rows)),
        "f1": ratio(2 * found, len(rows) + len(columns)),
    }


def partition_scores(agreement: Agreement) -> dict:
    """Rand and information scores within the reference's foreground, as in the ISBI challenge.

    rand: V-split and V-merge (low where reference objects are split or merged) and their F-score
    (`skimage.metrics.adapted_rand_error`, whose "precision" is V-split). information: conditional
    entropies in bits, H(S|T) for splits and H(T|S) for merges
    (`skimage.metrics.variation_of_information`), and the F-score 2 I / (H(S) + H(T)).
    Segmented background counts as one object; borders are not thinned beforehand, other than in
    the challenge's own script. None where there is no reference foreground.
    Source: Arganda-Carreras et al. 2015, doi:10.3389/fnana.2015.00142.
    """
    from skimage.metrics import adapted_rand_error, variation_of_information

    table = _foreground_table(agreement)
    if table is None:
        return {"rand": None, "information": None}
    with np.errstate(invalid="ignore"):  # objects of one pixel have no pairs
        _, split, merge = np.nan_to_num(adapted_rand_error(table=table), nan=1.0)
    p = table / table.sum()
    nothing = np.empty(0)
    splits, merges = variation_of_information(nothing, nothing, table=p)
    entropies = [_entropy_bits(np.ravel(p.sum(axis=axis))) for axis in (0, 1)]
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


def _foreground_table(agreement: Agreement):
    """Pixels by (reference object, segmented object), csr; None without reference objects."""
    kept = [((r, rc), (s, sc), n) for (r, rc, s, sc), n in agreement.pairs.items() if r and rc]
    if not kept:
        return None
    rows = {name: i for i, name in enumerate(dict.fromkeys(r for r, _, _ in kept))}
    columns = {name: i for i, name in enumerate(dict.fromkeys(s for _, s, _ in kept))}
    sizes = np.array([n for _, _, n in kept], dtype=float)
    places = ([rows[r] for r, _, _ in kept], [columns[s] for _, s, _ in kept])
    return csr_array((sizes, places), shape=(len(rows), len(columns)))


def _entropy_bits(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum())


def all_scores(agreement: Agreement, names: list[str], iou_threshold: float) -> dict:
    """Every score of one slide, as plain values."""
    total = int(agreement.confusion.sum())
    return {
        "pixels": total,
        "ignored_px": agreement.ignored,
        "pixel_error": ratio(total - int(np.trace(agreement.confusion)), total),
        "confusion": agreement.confusion.tolist(),
        "classes": class_scores(agreement.confusion, names),
        "objects": object_scores(agreement, iou_threshold),
        **partition_scores(agreement),
    }
