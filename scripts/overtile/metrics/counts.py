"""Counts of how two label pictures agree, that add up over blocks."""

from dataclasses import dataclass, field

import numpy as np

from overtile.geometry.components import IGNORE
from overtile.metrics.pairs import Pairs, count_pairs, merged


@dataclass
class Agreement:
    """Pixels by reference class and predicted class, and by pairs of objects.

    confusion: (classes, classes) int64, rows are the reference. ignored: pixels that one of the
    two ignores; they count nowhere. Any cut into blocks, in any order and merged in any way, gives
    the same. Time is near linear in the pixels, memory in the pairs of objects that share some.

    Examples
    --------
    >>> ids, classes = np.array([[0, 1, 1]], np.uint8), np.array([[0, 1, 1]], np.uint8)
    >>> agreement = Agreement(classes=2)
    >>> agreement.add(ids, classes, ids, classes)
    >>> agreement.confusion.tolist(), len(agreement.pairs)
    ([[1, 0], [0, 2]], 1)
    """

    classes: int
    confusion: np.ndarray = field(init=False)
    ignored: int = 0
    _parts: list[Pairs] = field(default_factory=list, init=False)

    def __post_init__(self):
        self.confusion = np.zeros((self.classes, self.classes), dtype=np.int64)

    def add(
        self,
        reference_ids: np.ndarray,
        reference_classes: np.ndarray,
        segmented_ids: np.ndarray,
        segmented_classes: np.ndarray,
    ) -> None:
        """Count one block: four arrays of one shape; id 0 and class 0 are background."""
        counts = (reference_classes != IGNORE) & (segmented_classes != IGNORE)
        self.ignored += int(counts.size - np.count_nonzero(counts))
        columns = [
            np.asarray(a)[counts].astype(np.uint64 if a.dtype.kind != "u" else a.dtype, copy=False)
            for a in (reference_ids, reference_classes, segmented_ids, segmented_classes)
        ]
        place = columns[1].astype(np.intp) * self.classes + columns[3].astype(np.intp)
        self.confusion += np.bincount(place, minlength=self.confusion.size).reshape(
            self.confusion.shape
        )
        self._append(count_pairs(columns))

    def merge(self, other: "Agreement") -> None:
        """Add all that another one counted, which stays as it is."""
        self.confusion += other.confusion
        self.ignored += other.ignored
        for part in other._parts:
            self._append(part)

    @property
    def pairs(self) -> Pairs:
        """Pixels by pairs of objects; see `Pairs`."""
        while len(self._parts) > 1:
            self._merge_last_two()
        return self._parts[0] if self._parts else count_pairs([np.zeros(0, np.uint8)] * 4)

    def _append(self, part: Pairs) -> None:
        """Keep each part at least twice as long as the next: a row is merged log n times."""
        self._parts.append(part)
        while len(self._parts) > 1 and len(self._parts[-2]) < 2 * len(self._parts[-1]):
            self._merge_last_two()

    def _merge_last_two(self) -> None:
        self._parts.append(merged(self._parts.pop(), self._parts.pop()))
