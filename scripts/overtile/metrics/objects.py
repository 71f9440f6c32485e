"""How many objects were found: precision, recall and F1 of objects that match."""

from collections.abc import Mapping

from overtile.metrics.checks import read_count, read_setting, refuse_other
from overtile.metrics.matching import count_matches
from overtile.metrics.metric import Comparison, Metric, Score, ratio
from overtile.metrics.pairs import Pairs


def match_scores(reference: int, segmented: int, matched: int) -> dict[str, float | None]:
    """Precision, recall and F1 from numbers of objects.

    Returns
    -------
    dict
        precision, recall and f1 = 2 TP / (2 TP + FP + FN); None where there is nothing to measure.

    Examples
    --------
    >>> match_scores(reference=4, segmented=2, matched=2)
    {'precision': 1.0, 'recall': 0.5, 'f1': 0.6666666666666666}
    """
    return {
        "precision": ratio(matched, segmented),
        "recall": ratio(matched, reference),
        "f1": ratio(2 * matched, reference + segmented),
    }


def object_scores(pairs: Pairs, iou_threshold: float) -> dict[str, float | None]:
    """Counts and scores of objects that match at an IoU of at least the threshold.

    Parameters
    ----------
    pairs : Pairs
        Pixels by pair of objects.
    iou_threshold : float
        Above 0, up to 1.

    Returns
    -------
    dict
        iou_threshold; numbers of objects: reference, segmented, matched; see `match_scores`.

    Examples
    --------
    >>> import numpy as np
    >>> from overtile.metrics.pairs import count_pairs
    >>> ids, cell = np.array([1, 1, 2], np.uint8), np.ones(3, np.uint8)
    >>> object_scores(count_pairs([ids, cell, np.ones(3, np.uint8), cell]), 0.5)["f1"]
    0.6666666666666666
    """
    reference, segmented, matched = count_matches(pairs, iou_threshold)
    return {
        "iou_threshold": iou_threshold,
        "reference": reference,
        "segmented": segmented,
        "matched": matched,
        **match_scores(reference, segmented, matched),
    }


def measure(comparison: Comparison) -> dict[str, object]:
    """Scores of objects."""
    return {"objects": object_scores(comparison.agreement.pairs, comparison.iou_threshold)}


def read(values: Mapping) -> dict[str, object]:
    """Precision, recall and F1, which the counts beside them must give."""
    objects = values["objects"]
    counts = (read_count(objects[name]) for name in ("reference", "segmented", "matched"))
    wanted = match_scores(*counts)
    for name, value in wanted.items():
        refuse_other(f"objects: {name}", objects[name], value)
    found: dict[str, object] = {name: objects[name] for name in wanted}
    return found | {"iou_threshold": read_setting(objects["iou_threshold"], highest=1)}


METRIC = Metric(
    keys=("objects",),
    measure=measure,
    read=read,
    scores=(
        Score(
            "f1",
            title="Object F1",
            hint="objects found and outlined right, of all; 1 is perfect",
            headline=1,
        ),
        Score("precision", in_means=False, in_slides=False),
        Score("recall", in_means=False, in_slides=False),
    ),
    explanation="An object counts as found if its mask shares enough area with a reference object "
    "(IoU of at least {iou_threshold}). F1 balances missed against invented ones.",
    settings=("iou_threshold",),
)
