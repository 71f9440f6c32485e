"""What Dice means here, written once: validation while training, evaluation and report use it."""

from collections.abc import Sequence

import numpy as np


def class_dice(confusion: np.ndarray) -> list[float | None]:
    """Dice of each class, 2 |A and B| / (|A| + |B|), from pixel counts.

    Parameters
    ----------
    confusion : ndarray, (classes, classes), integers
        Pixel counts; rows are the reference, columns what was found.

    Returns
    -------
    list of float or None
        One per class. None for a class that is in neither: there is nothing to measure, so it is
        neither 0 nor 1.

    References
    ----------
    Dice 1945, doi:10.2307/1932409.

    Examples
    --------
    >>> class_dice(np.array([[6, 0, 0], [2, 2, 0], [0, 0, 0]]))
    [0.8571428571428571, 0.6666666666666666, None]
    """
    both = np.diag(confusion).tolist()
    either = (confusion.sum(axis=0) + confusion.sum(axis=1)).tolist()
    return [2 * b / e if e else None for b, e in zip(both, either, strict=True)]


def foreground_mean(values: Sequence[float | None]) -> float | None:
    """Mean over the classes that were measured, without the first, the background.

    The background fills most of most pictures: with it the mean would look good by itself.

    Parameters
    ----------
    values : sequence of float or None
        One per class, background first; None for what was not measured.

    Returns
    -------
    float or None
        None if no foreground class was measured.

    Examples
    --------
    >>> foreground_mean([0.99, 0.5, None, 0.7])
    0.6
    """
    measured = [value for value in values[1:] if value is not None]
    return sum(measured) / len(measured) if measured else None
