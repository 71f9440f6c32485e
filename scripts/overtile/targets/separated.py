"""Labels in which touching cells stand apart: what a network learns, not what scores compare."""

from pathlib import Path

import numpy as np

from overtile.geometry.borders import separate
from overtile.geometry.spans import Block
from overtile.stores.labels import write_classes, write_objects
from overtile.stores.store import Store
from overtile.stores.subblocks import compute_by_subblock


def write_separated(
    labels: Store, folder: Path, key: str, separate_px: int, ndim: int, workers: int = 1
) -> None:
    """Write a copy of a label store with a border of background between touching cells.

    separate_px, and what becomes background: see `geometry.borders.separate`. ndim: 2 cuts within
    each plane of a stack, 3 also between planes. Pixels to ignore stay ignored.
    """
    classes = labels.label_classes()
    for store in (labels, classes):
        store.level(0)  # a lost shard is told before anything is written
    halo = (separate_px if ndim == 3 else 0, separate_px, separate_px)

    def read_classes(block: Block) -> np.ndarray:
        kept = compute_by_subblock(
            labels.array,
            block,
            halo,
            ndim,
            lambda instances: separate(instances, separate_px) > 0,
            bool,
        )
        found = classes.array[block.slices]
        found[(labels.array[block.slices] > 0) & ~kept] = 0
        return found

    names, size = classes.attributes["class_names"], labels.attributes["pixel_size_um"]
    apart = write_classes(folder, key, labels.shape, read_classes, names, size, workers)

    def read_ids(block: Block) -> np.ndarray:
        return np.where(apart.array[block.slices] == 0, 0, labels.array[block.slices])

    dtype, kind = labels.array.dtype, labels.attributes["kind"]
    how = {"separate_px": separate_px, "separate_ndim": ndim}
    write_objects(folder, key, labels.shape, dtype, read_ids, apart, kind, **how)
