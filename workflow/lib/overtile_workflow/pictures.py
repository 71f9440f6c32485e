"""The same picture under two names: in training and in scoring, it makes scores too good."""

import os
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from filecmp import cmp

SAMPLE_BYTES = 4096
"""Looked at in the beginning, the middle and the end of files of one size, before all is read."""


def refuse_same_pictures(sheet: str, rows: Iterable) -> None:
    """Raise ValueError, one line, for a picture that is in two splits, as one file or as a copy.

    rows: with slide, image and split. Files of another size are other pictures; of those of one
    size small samples are compared, and only where these are the same too all is read.
    """
    of_size = defaultdict(list)
    for row in rows:
        if row.split:
            of_size[_size(row.image)].append(row)
    for group in of_size.values():
        if len({row.split for row in group}) > 1:
            _refuse_copies(sheet, group)


def _refuse_copies(sheet: str, rows: Iterable) -> None:
    of_samples: defaultdict[tuple[bytes, ...], list] = defaultdict(list)
    for row in rows:
        others = of_samples[_samples(row.image)]
        for other in others:
            if other.split != row.split and _is_same(row.image, other.image):
                raise ValueError(
                    f"{sheet}: slide {other.slide} ({other.split}) and slide {row.slide} "
                    f"({row.split}) are the same picture, {other.image} and {row.image}; "
                    "a picture may be in one split only: remove a row, or move it"
                )
        others.append(row)


def _size(path: str) -> int | str:
    """Bytes of a file; of one without any, or that is yet to be made, its own path."""
    with suppress(OSError):
        return os.path.getsize(path) or os.path.realpath(path)
    return path


def _samples(path: str) -> tuple[bytes, ...]:
    """A little of a file's beginning, middle and end; nothing of one that cannot be read."""
    found = []
    with suppress(OSError), open(path, "rb") as file:
        size = os.path.getsize(path)
        for start in (0, size // 2, max(0, size - SAMPLE_BYTES)):
            file.seek(start)
            found.append(file.read(SAMPLE_BYTES))
    return tuple(found)


def _is_same(one: str, other: str) -> bool:
    """Whether two paths lead to one file, or to files with the same bytes."""
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    with suppress(OSError):
        return os.path.samefile(one, other) or cmp(one, other, shallow=False)
    return False
