"""Which class a pixel has, and how probable it is that it has one, from stored probabilities."""

import numpy as np

from overtile.errors import InputError
from overtile.geometry.spans import Block
from overtile.stores.store import Store
from overtile.stores.subblocks import assemble


def most_probable(probabilities: np.ndarray) -> np.ndarray:
    """Class of highest probability, (c, z, y, x) to (z, y, x) uint8; the lower class wins a tie."""
    best, classes = probabilities[0].copy(), np.zeros(probabilities.shape[1:], np.uint8)
    for number, part in enumerate(probabilities[1:], start=1):
        classes[part > best] = number
        np.maximum(best, part, out=best)
    return classes


def least_step(probability: float, steps: int) -> int:
    """The least of 0..steps that stands for at least this probability."""
    return int(np.searchsorted(np.arange(steps + 1) / steps, probability))


class ClassMap:
    """Classes and foreground of a probability store, (z, y, x), read block by block.

    threshold: the least probability, 1 - p(background), of foreground, whose class is the most
    probable of the foreground's classes; None takes the most probable class of all. A store may
    hold more channels than classes, which are left out, or only the most probable class.
    is_graded: whether `foreground_of` is needed. Raises InputError if probabilities are needed and
    the store has none, and where it is damaged.
    """

    def __init__(self, store: Store, threshold: float | None, is_graded: bool):
        self.shape = store.shape
        self._array = store.array
        self.class_count = len(store.attributes["class_names"])
        self._steps = round(1 / store.attributes["scale"])
        self._is_known = store.attributes.get("wanted", {}).get("keep") == "classes"
        self._least = None if threshold is None else least_step(threshold, self._steps)
        if self._is_known and (threshold is not None or is_graded):
            raise InputError(
                f"{store.path}: holds classes without probabilities; leave out --threshold and "
                "--seed-threshold, or predict again with --keep probabilities"
            )

    def step(self, probability: float) -> int:
        """The least value of foreground that stands for at least this probability."""
        return least_step(probability, self._steps)

    def __getitem__(self, box: tuple[slice, ...]) -> np.ndarray:
        """What is stored of a box of pixels, (c, z, y, x): what the two functions below take."""
        channels = 1 if self._is_known else self.class_count
        return self._array[(slice(channels), *box)]

    def classes_of(self, probabilities: np.ndarray) -> np.ndarray:
        """Class map, (z, y, x) uint8, of what is stored."""
        if self._is_known:
            return probabilities[0]
        if self._least is None:
            return most_probable(probabilities)
        is_foreground = self.foreground_of(probabilities) >= self._least
        return np.where(is_foreground, most_probable(probabilities[1:]) + np.uint8(1), 0)

    def foreground_of(self, probabilities: np.ndarray) -> np.ndarray:
        """How probable it is that a pixel is no background, (z, y, x) uint8, of what is stored."""
        return (self._steps - probabilities[0]).astype(np.uint8)

    def classes(self, block: Block) -> np.ndarray:
        """Class map of a block of any size, (z, y, x) uint8."""
        is_picture = self.shape[0] == 1
        return assemble(block, is_picture, lambda b: self.classes_of(self[b.slices]), np.uint8)
