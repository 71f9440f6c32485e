"""How much the area of each class overlaps with its reference: Dice and IoU."""

from collections.abc import Mapping, Sequence

import numpy as np

from overtile.geometry.dice import class_dice, foreground_mean
from overtile.metrics.checks import read_confusion, refuse_other
from overtile.metrics.metric import Comparison, Metric, Score, ratio


def class_scores(confusion: np.ndarray, class_names: Sequence[str]) -> dict[str, dict]:
    """Dice and IoU of each class.

    Parameters
    ----------
    confusion : ndarray of int, shape (classes, classes)
        Pixels; rows are the reference, columns the segmentation.
    class_names : sequence of str
        By number.

    Returns
    -------
    dict
        For each class name: dice and iou, None for a class in neither picture; reference_px and
        segmented_px.

    Examples
    --------
    >>> scores = class_scores(np.array([[10, 2], [2, 2]]), ["background", "cell"])
    >>> scores["cell"]["dice"], scores["cell"]["reference_px"]
    (0.5, 4)
    """
    scores = {}
    for number, (name, dice) in enumerate(zip(class_names, class_dice(confusion), strict=True)):
        both = int(confusion[number, number])
        reference, segmented = (int(confusion.sum(axis=axis)[number]) for axis in (1, 0))
        scores[name] = {
            "dice": dice,
            "iou": ratio(both, reference + segmented - both),
            "reference_px": reference,
            "segmented_px": segmented,
        }
    return scores


def measure(comparison: Comparison) -> dict[str, object]:
    """Scores of each class."""
    return {"classes": class_scores(comparison.agreement.confusion, comparison.class_names)}


def read(values: Mapping) -> dict[str, object]:
    """Dice and IoU of each class, which the confusion must give, and their means."""
    classes, confusion = values["classes"], read_confusion(values)
    if len(confusion) != len(classes):
        raise ValueError(f"confusion of {len(confusion)} classes, but {len(classes)} have scores")
    wanted = class_scores(confusion, list(classes))
    found: dict[str, object] = {}
    for kind in ("dice", "iou"):
        for name, scores in classes.items():
            refuse_other(f"{name}: {kind}", scores[kind], wanted[name][kind])
            found[f"{kind}_{name}"] = scores[kind]
        found[kind] = foreground_mean([scores[kind] for scores in classes.values()])
    return found


METRIC = Metric(
    keys=("classes",),
    measure=measure,
    read=read,
    scores=(
        Score(
            "dice",
            title="Dice",
            hint="overlap of segmented and true area; 1 is perfect",
            headline=2,
            in_means=False,
        ),
        Score("dice_{class_name}", title="Dice {class_name}", in_slides=False),
        Score("iou", title="IoU", in_table=False),
        Score("iou_{class_name}", in_means=False, in_slides=False),
    ),
    explanation="Overlap of the area of a class with the reference. Dice is twice the common area "
    "over the sum of both; IoU is the common area over the union. Without the name of a class it "
    "is the mean over classes without the background.",
)
