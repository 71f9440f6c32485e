"""Label stores: a class map, and the objects that are its connected components or given ids.

A label store holds the objects' ids as its own pyramid, and the class map as a second one inside
it, in `classes/`. References and segmentations have the same form.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from overtile.geometry.components import IGNORE, Stitcher, label_block
from overtile.geometry.spans import Block, plan_blocks
from overtile.stores.digest import digest_of
from overtile.stores.layout import chunk_and_shard
from overtile.stores.ngff import list_labels, multiscale_attributes
from overtile.stores.pyramid import add_pyramid
from overtile.stores.store import Store
from overtile.stores.writer import StoreWriter, claim

AXES = ("z", "y", "x")
ReadBlock = Callable[[Block], np.ndarray]


def write_classes(
    folder: Path,
    key: str,
    shape: Sequence[int],
    read: ReadBlock,
    class_names: Sequence[str],
    pixel_size_um: Sequence[float] | None,
    workers: int = 1,
) -> Store:
    """Write the class map of a label store, (z, y, x) uint8, with its pixel counts per class.

    folder: of the label store, which does not exist again before its objects are written. read:
    gives the classes of a block; pixels of value 255 are ignored by training and scores.
    """
    claim(folder, "labels")
    writer = StoreWriter(folder / "classes", digest_of(key, "classes"), "classes")
    writer.add_array("0", shape, np.uint8, AXES)

    def classify(block: Block) -> tuple[np.ndarray, dict]:
        classes = read(block)
        return classes, {"counts": np.bincount(classes.ravel(), minlength=256).tolist()}

    writer.fill("0", classify, "classes", workers)
    counts = np.sum([r["counts"] for r in writer.records("0")], axis=0)
    factors = add_pyramid(writer, AXES, pixel_size_um, is_label=True)
    writer.commit(
        multiscale_attributes("classes", AXES, factors, pixel_size_um, is_label=True),
        pixel_size_um=list(pixel_size_um) if pixel_size_um else None,
        class_names=list(class_names),
        class_counts=counts[: len(class_names)].tolist(),
        ignored=int(counts[IGNORE]),
    )
    return Store.open(writer.path, "classes")


def write_objects(
    folder: Path,
    key: str,
    shape: Sequence[int],
    dtype: np.dtype,
    read: ReadBlock,
    classes: Store,
    kind: str,
    count: int | None = None,
    **attributes: object,
) -> None:
    """Write the objects' ids, (z, y, x), 0 = background, and commit the whole label store.

    count: number of objects if it is known; else every distinct id is counted once. attributes:
    what else the store is to say of itself.
    """
    writer = StoreWriter(folder, key, "labels")
    writer.add_array("0", shape, dtype, AXES)
    pixel_size_um = classes.attributes["pixel_size_um"]

    def copy(block: Block) -> tuple[np.ndarray, dict]:
        ids = read(block)
        found = [] if count is not None else np.unique(ids[ids > 0]).tolist()
        return ids, {"ids": found}

    writer.fill("0", copy, "objects")
    if count is None:
        count = len(set().union(*(r["ids"] for r in writer.records("0"))))
    factors = add_pyramid(writer, AXES, pixel_size_um, is_label=True)
    writer.commit(
        multiscale_attributes(folder.name, AXES, factors, pixel_size_um, is_label=True),
        pixel_size_um=pixel_size_um,
        kind=kind,
        objects=count,
        classes_digest=classes.digest,
        **attributes,
    )
    if folder.parent.name == "labels":
        list_labels(folder.parent.parent)


def component_reader(
    read_classes: ReadBlock, shape: Sequence[int], min_object_px: int
) -> tuple[ReadBlock, ReadBlock, int]:
    """Number the face-connected components of a class map, the same whatever the blocks.

    Two passes: the first finds the components of each block and which of them touch; the second
    labels a block again and gives its components their final ids. Components of fewer than
    min_object_px pixels become background. Memory grows with the number of components, not of
    pixels. Returns functions that give classes and ids of a block, and the number of objects.
    """
    stitcher = Stitcher(tuple(shape))
    for block in plan_blocks(shape, chunk_and_shard(shape)[1]):
        classes = read_classes(block)
        stitcher.add(block, label_block(classes), classes)
    numbering, count = stitcher.numbering(min_object_px)

    def read_ids(block: Block) -> np.ndarray:
        return numbering[block.index][label_block(read_classes(block))]

    def read_kept(block: Block) -> np.ndarray:
        classes = read_classes(block)
        labels = label_block(classes)
        return np.where((labels > 0) & (numbering[block.index][labels] == 0), 0, classes)

    return read_kept if min_object_px > 1 else read_classes, read_ids, count


def write_component_store(
    folder: Path,
    key: str,
    shape: Sequence[int],
    read_classes: ReadBlock,
    class_names: Sequence[str],
    pixel_size_um: Sequence[float] | None,
    kind: str,
    min_object_px: int = 0,
) -> None:
    """Write a label store whose objects are the connected components of its class map.

    min_object_px: smaller components become background, in the class map too.
    """
    read_kept, read_ids, count = component_reader(read_classes, shape, min_object_px)
    classes = write_classes(folder, key, shape, read_kept, class_names, pixel_size_um)
    write_objects(folder, key, shape, np.uint32, read_ids, classes, kind, count)
