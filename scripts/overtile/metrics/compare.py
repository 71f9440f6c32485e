"""Compare two label stores block by block."""

import numpy as np

from overtile.errors import InputError
from overtile.geometry.spans import Block, plan_blocks
from overtile.metrics.classes import class_names, class_table, renumbered
from overtile.metrics.counts import Agreement
from overtile.metrics.metric import Comparison
from overtile.metrics.score_files import measure_all
from overtile.progress import progress
from overtile.stores.store import Store

LARGEST_BLOCK = {"picture": (1, 2048, 2048), "volume": (16, 512, 512)}
"""Edges (z, y, x) in px of what is counted at once: shards may be too large for that."""


def compare(reference: Store, segmentation: Store, iou_threshold: float) -> dict:
    """All scores of a segmentation against its reference, and what they were made from.

    Parameters
    ----------
    reference, segmentation : Store
        Label stores. Classes are the same where their names are, whatever their numbers.
    iou_threshold : float
        Objects match from this intersection over union on.

    Returns
    -------
    dict
        Plain values: the digests of both, and those of `measure_all`.

    Raises
    ------
    InputError
        If the two differ in shape or names of classes, or one is damaged.
    """
    if reference.shape != segmentation.shape:
        raise InputError(
            f"{segmentation.shown}: is {segmentation.shape} (z, y, x) px, the reference "
            f"{reference.shown} is {reference.shape}; compare labels of the same picture"
        )
    names = class_names(reference)
    sides = (
        Side(reference, np.arange(len(names), dtype=np.uint8)),
        Side(segmentation, class_table(reference, segmentation)),
    )
    agreement = Agreement(len(names))
    largest = LARGEST_BLOCK["picture" if reference.shape[0] == 1 else "volume"]
    blocks = plan_blocks(reference.shape, np.minimum(reference.array.shards, largest).tolist())
    with progress(len(blocks), label="evaluate") as advance:
        for block in blocks:
            agreement.add(*sides[0].read(block), *sides[1].read(block))
            advance()
    return {
        "reference": reference.digest,
        "segmentation": segmentation.digest,
        **measure_all(Comparison(agreement, names, iou_threshold)),
    }


class Side:
    """One of the two label stores. table: the number that scores have for each of its classes."""

    def __init__(self, labels: Store, table: np.ndarray):
        self._labels, self._table = labels, table
        self._ids, self._classes = labels.array, labels.label_classes().array

    def read(self, block: Block) -> tuple[np.ndarray, np.ndarray]:
        """Ids and classes of a block."""
        classes = renumbered(self._classes[block.slices], self._table, self._labels)
        return self._ids[block.slices], classes
