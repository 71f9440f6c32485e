"""Flips and quarter turns of pictures and volumes, and their undoing."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

KINDS = ("none", "flips", "flips_and_turns")


@dataclass(frozen=True)
class Symmetry:
    """Mirror some axes, then perhaps swap y and x: all flips and quarter turns are of this form.

    flips: one for each of the last axes, (z) y x.
    """

    flips: tuple[bool, ...]
    swap: bool

    def apply(self, array: np.ndarray) -> np.ndarray:
        """The array, mirrored and swapped along its last axes; a view."""
        turned = np.flip(array, self._axes(array.ndim))
        return turned.swapaxes(-1, -2) if self.swap else turned

    def undo(self, array: np.ndarray) -> np.ndarray:
        """The array as it was before `apply`; a view."""
        back = array.swapaxes(-1, -2) if self.swap else array
        return np.flip(back, self._axes(array.ndim))

    def _axes(self, ndim: int) -> tuple[int, ...]:
        return tuple(ndim - len(self.flips) + i for i, flip in enumerate(self.flips) if flip)


def symmetries(kind: str, ndim: int) -> Sequence[Symmetry]:
    """The symmetries of a kind: none (1), flips (4, volumes 8), flips_and_turns (8, volumes 16).

    The identity comes first.
    """
    if kind not in KINDS:
        raise ValueError(f"symmetries are {kind!r}; allowed: {', '.join(KINDS)}")
    flips = list(product((False, True), repeat=ndim)) if kind != "none" else [(False,) * ndim]
    swaps = (False, True) if kind == "flips_and_turns" else (False,)
    return [Symmetry(tuple(f), swap) for swap in swaps for f in flips]
