"""Scores made of counts."""

import numpy as np

from overtile.geometry.dice import class_dice
from overtile.metrics.counts import Agreement
from overtile.metrics.matching import count_matches
from overtile.metrics.pairs import Pairs
from overtile.metrics.partitions import partition_scores


def ratio(part: float, whole: float) -> float | None:
    """part / whole, or None where there is nothing to measure."""
    return float(part / whole) if whole else None


def class_scores(confusion: np.ndarray, names: list[str]) -> dict[str, dict]:
    """Dice and IoU of each class; None for a class in neither picture."""
    scores = {}
    for number, (name, dice) in enumerate(zip(names, class_dice(confusion), strict=True)):
        both = int(confusion[number, number])
        reference, segmented = (int(confusion.sum(axis=axis)[number]) for axis in (1, 0))
        scores[name] = {
            "dice": dice,
            "iou": ratio(both, reference + segmented - both),
            "reference_px": reference,
            "segmented_px": segmented,
        }
    return scores


def object_scores(pairs: Pairs, iou_threshold: float) -> dict:
    """Precision, recall and F1 of objects that match at an IoU of at least the threshold.

    F1 = 2 TP / (2 TP + FP + FN). All None if there is no object in either picture.
    """
    reference, segmented, matched = count_matches(pairs, iou_threshold)
    return {
        "iou_threshold": iou_threshold,
        "reference": reference,
        "segmented": segmented,
        "matched": matched,
        "precision": ratio(matched, segmented),
        "recall": ratio(matched, reference),
        "f1": ratio(2 * matched, reference + segmented),
    }


def all_scores(agreement: Agreement, names: list[str], iou_threshold: float) -> dict:
    """Every score of one slide, as plain values."""
    total, pairs = int(agreement.confusion.sum()), agreement.pairs
    return {
        "pixels": total,
        "ignored_px": agreement.ignored,
        "pixel_error": ratio(total - int(np.trace(agreement.confusion)), total),
        "confusion": agreement.confusion.tolist(),
        "classes": class_scores(agreement.confusion, names),
        "objects": object_scores(pairs, iou_threshold),
        **partition_scores(pairs),
    }
