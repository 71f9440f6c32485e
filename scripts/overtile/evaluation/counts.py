"""Counts of how two label pictures agree, that add up over blocks."""

from dataclasses import dataclass, field

import numpy as np

from overtile.geometry.components import IGNORE


@dataclass
class Agreement:
    """Pixels by reference class and predicted class, and by pairs of objects.

    confusion: (classes, classes) int64, rows are the reference. pairs: (reference id, reference
    class, segmented id, segmented class) -> pixels. Ignored pixels of the reference count nowhere.
    """

    classes: int
    confusion: np.ndarray = field(init=False)
    pairs: dict[tuple[int, int, int, int], int] = field(default_factory=dict)
    ignored: int = 0

    def __post_init__(self):
        self.confusion = np.zeros((self.classes, self.classes), dtype=np.int64)

    def add(
        self,
        reference_ids: np.ndarray,
        reference_classes: np.ndarray,
        segmented_ids: np.ndarray,
        segmented_classes: np.ndarray,
    ) -> None:
        """Count one block: four arrays of one shape; ids 0 and class 0 are background."""
        counts = (reference_classes != IGNORE) & (segmented_classes != IGNORE)
        self.ignored += int(counts.size - counts.sum())
        columns = [
            a[counts].astype(np.uint64)
            for a in (reference_ids, reference_classes, segmented_ids, segmented_classes)
        ]
        place = columns[1] * self.classes + columns[3]
        self.confusion += np.bincount(
            place.astype(np.int64), minlength=self.confusion.size
        ).reshape(self.confusion.shape)
        if not place.size:
            return
        order = np.lexsort(columns)
        sorted_columns = np.stack([c[order] for c in columns])
        change = np.any(np.diff(sorted_columns, axis=1) != 0, axis=0)
        starts = np.concatenate([[0], np.flatnonzero(change) + 1])
        sizes = np.diff(np.append(starts, place.size))
        for pair, size in zip(sorted_columns[:, starts].T.tolist(), sizes.tolist(), strict=True):
            pair = tuple(pair)
            self.pairs[pair] = self.pairs.get(pair, 0) + size
