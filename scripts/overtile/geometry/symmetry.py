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
        mirrored = np.flip(array, self._axes(array.ndim))
        return mirrored.swapaxes(-1, -2) if self.swap else mirrored

    def undo(self, array: np.ndarray) -> np.ndarray:
        """The array as it was before `apply`; a view."""
        mirrored = array.swapaxes(-1, -2) if self.swap else array
        return np.flip(mirrored, self._axes(array.ndim))

    def _axes(self, ndim: int) -> tuple[int, ...]:
        return tuple(ndim - len(self.flips) + i for i, flip in enumerate(self.flips) if flip)


def symmetries(kind: str, ndim: int) -> Sequence[Symmetry]:
    """The symmetries of a kind, the identity first.

    Parameters
    ----------
    kind : str
        none (1), flips (4, of volumes 8) or flips_and_turns (8, of volumes 16).
    ndim : int
        2 for pictures, 3 for volumes.

    Returns
    -------
    sequence of Symmetry
        Each can be applied and undone.

    Raises
    ------
    ValueError
        For any other kind.

    Examples
    --------
    >>> [len(symmetries(kind, 2)) for kind in KINDS]
    [1, 4, 8]
    """
    if kind not in KINDS:
        raise ValueError(f"symmetries are {kind!r}; allowed: {', '.join(KINDS)}")
    flips = list(product((False, True), repeat=ndim)) if kind != "none" else [(False,) * ndim]
    swaps = (False, True) if kind == "flips_and_turns" else (False,)
    return [Symmetry(tuple(f), swap) for swap in swaps for f in flips]
