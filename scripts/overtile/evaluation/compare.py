"""Compare two label stores block by block."""

import numpy as np

from overtile.errors import InputError
from overtile.evaluation.counts import Agreement
from overtile.evaluation.scores import all_scores
from overtile.geometry.spans import plan_blocks
from overtile.progress import progress
from overtile.stores.store import Store

LARGEST_BLOCK = {"picture": (1, 2048, 2048), "volume": (16, 512, 512)}
"""Edges (z, y, x) in px of what is counted at once: shards may be too large for that."""


def compare(reference: Store, segmentation: Store, iou_threshold: float) -> dict:
    """All scores of a segmentation against its reference, and what they were made from.

    Raises InputError if the two differ in shape or classes.
    """
    if reference.shape != segmentation.shape:
        raise InputError(
            f"{segmentation.path}: is {segmentation.shape} (z, y, x) px, the reference "
            f"{reference.path} is {reference.shape}; compare labels of the same picture"
        )
    stores = reference, reference.label_classes(), segmentation, segmentation.label_classes()
    names = stores[1].attributes["class_names"]
    if len(names) != len(stores[3].attributes["class_names"]):
        raise InputError(
            f"{segmentation.path}: has classes {stores[3].attributes['class_names']}, the "
            f"reference {reference.path} has {names}; compare labels of the same classes"
        )
    agreement = Agreement(len(names))
    arrays = [store.array for store in stores]
    largest = LARGEST_BLOCK["picture" if reference.shape[0] == 1 else "volume"]
    blocks = plan_blocks(reference.shape, np.minimum(arrays[0].shards, largest).tolist())
    with progress(len(blocks), label="evaluate") as advance:
        for block in blocks:
            agreement.add(*(array[block.slices] for array in arrays))
            advance()
    return {
        "reference": reference.digest,
        "segmentation": segmentation.digest,
        **all_scores(agreement, names, iou_threshold),
    }
