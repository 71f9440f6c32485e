"""What Dice means here, written once: validation while training, evaluation and report use it."""

from collections.abc import Sequence

import numpy as np


def class_dice(confusion: np.ndarray) -> list[float | None]:
    """Dice of each class, 2 |A and B| / (|A| + |B|), from pixel counts.

    confusion: (classes, classes) integers, rows are the reference, columns what was found. None
    for a class that is in neither: there is nothing to measure, so it is neither 0 nor 1.
    Source: Dice 1945, doi:10.2307/1932409.
    """
    both = np.diag(confusion).tolist()
    either = (confusion.sum(axis=0) + confusion.sum(axis=1)).tolist()
    return [2 * b / e if e else None for b, e in zip(both, either, strict=True)]


def foreground_mean(values: Sequence[float | None]) -> float | None:
    """Mean over the classes that were measured, without the first, the background.

    The background fills most of most pictures: with it the mean would look good by itself. None if
    no class was measured.
    """
    measured = [value for value in values[1:] if value is not None]
    return sum(measured) / len(measured) if measured else None
