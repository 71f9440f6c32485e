"""Checks of values that a score file has: numbers in their range, and those that counts give.

All raise ValueError or TypeError, which `score_files` tells with the name of the file.
"""

import math
from collections.abc import Mapping

import numpy as np

ROUNDING = 1e-9
"""Relative difference that two ways to the same number may have."""


def read_count(value: object) -> int:
    """A number of objects or pixels.

    Examples
    --------
    >>> read_count(3)
    3
    >>> read_count(True)
    Traceback (most recent call last):
    ValueError: True is not a number of objects or pixels
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is not a number of objects or pixels")
    return value


def read_number(value: object, lowest: float, highest: float) -> float | None:
    """A number of a range, or None where there was nothing to measure.

    Examples
    --------
    >>> read_number(0.5, 0, 1)
    0.5
    >>> read_number(1.5, 0, 1)
    Traceback (most recent call last):
    ValueError: 1.5 is not from 0 to 1
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is not a number")
    if not lowest <= value <= highest or not math.isfinite(value):
        raise ValueError(f"{value!r} is not from {lowest:g} to {highest:g}")
    return float(value)


def read_setting(value: object, highest: float = math.inf) -> float:
    """A number above 0, up to the highest."""
    number = read_number(value, 0, highest)
    if not number:
        raise ValueError(f"{value!r} is not a number above 0")
    return number


def read_confusion(values: Mapping) -> np.ndarray:
    """Pixels by reference class and segmented class, as whole numbers of any size."""
    rows = [[read_count(number) for number in row] for row in values["confusion"]]
    confusion = np.array(rows, dtype=object)
    if confusion.shape != (len(rows), len(rows)):
        raise ValueError(f"confusion has {len(rows)} rows, but not as many columns")
    return confusion


def refuse_other(name: str, found: float | None, wanted: float | None) -> None:
    """Raise ValueError if a number is not that which the counts beside it give."""
    if found is None or wanted is None:
        is_same = found is wanted
    else:
        is_same = math.isclose(found, wanted, rel_tol=ROUNDING)
    if not is_same:
        raise ValueError(f"{name} is {found!r}, but its counts give {wanted!r}")
