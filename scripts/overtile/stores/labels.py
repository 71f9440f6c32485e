"""Label stores: a class map, and the objects that are its connected components or given ids.

A label store holds the objects' ids as its own pyramid, and the class map as a second one inside
it, in `classes/`. References and segmentations have the same form.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import DTypeLike

from overtile.geometry.components import IGNORE, Stitcher, id_dtype, label_block
from overtile.geometry.spans import Block, plan_blocks
from overtile.stores.checked import Checked
from overtile.stores.digest import digest_of
from overtile.stores.layout import chunk_and_shard
from overtile.stores.ngff import list_labels, multiscale_attributes
from overtile.stores.pyramid import add_pyramid
from overtile.stores.store import Store
from overtile.stores.subblocks import assemble, inside, subblocks, whole
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
    _list(folder)
    writer = StoreWriter(folder / "classes", digest_of(key, "classes"), "classes")
    writer.add_array("0", shape, np.uint8, AXES)

    def classify(block: Block) -> tuple[np.ndarray, dict]:
        classes = read(block)
        return classes, {"counts": np.bincount(classes.ravel(), minlength=256).tolist()}

    writer.fill("0", classify, label="classes", workers=workers)
    counts = np.sum([r["counts"] for r in writer.records("0")], axis=0)
    factors = add_pyramid(writer, AXES, pixel_size_um, is_label=True)
    writer.commit(
        multiscale_attributes("classes", AXES, factors, pixel_size_um, True, "../../../"),
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
    dtype: DTypeLike,
    read: ReadBlock,
    classes: Store,
    kind: str,
    **attributes: object,
) -> None:
    """Write objects of any ids, (z, y, x), 0 = background, and commit the whole label store.

    Every distinct id is counted once. attributes: what else the store is to say of itself.
    """
    writer = StoreWriter(folder, key, "labels")
    array = writer.add_array("0", shape, dtype, AXES)
    writer.fill("0", lambda block: (read(block), {}), label="objects")
    _commit_objects(writer, classes, kind, len(distinct_ids(array)), **attributes)


def distinct_ids(array: Checked) -> np.ndarray:
    """All ids > 0 of an array (z, y, x), each once, in increasing order.

    Memory: a subblock, and as many bytes as all ids have, twice over.
    """
    parts = subblocks(whole(array.shape), array.shape[0] == 1)
    found = np.unique(np.concatenate([np.unique(array[part.slices]) for part in parts]))
    return found[found > 0]


def _commit_objects(
    writer: StoreWriter, classes: Store, kind: str, count: int, **attributes: object
) -> None:
    folder, pixel_size_um = writer.path, classes.attributes["pixel_size_um"]
    factors = add_pyramid(writer, AXES, pixel_size_um, is_label=True)
    writer.commit(
        multiscale_attributes(folder.name, AXES, factors, pixel_size_um, is_label=True),
        pixel_size_um=pixel_size_um,
        kind=kind,
        objects=count,
        classes_digest=classes.digest,
        **attributes,
    )
    _list(folder)


def _list(folder: Path) -> None:
    """Tell viewers which label stores a picture has, now that this one begins or ends."""
    if folder.parent.name == "labels":
        list_labels(folder.parent.parent)


class Numbered(Protocol):
    """A class map, and objects with the ids 1 to count, found when first asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(z, y, x) in pixels."""

    def classes(self, block: Block) -> np.ndarray:
        """Class map of a block, (z, y, x) uint8."""

    def ids(self, block: Block) -> np.ndarray:
        """Ids of a block, (z, y, x), 0 = background."""

    @property
    def count(self) -> int:
        """How many objects there are."""


class Components:
    """Objects that are the face-connected components of a class map, whatever the blocks.

    read_classes: gives the classes of a block. min_object_px: smaller components become
    background, in the class map too. Two passes: the first finds the components of each subblock
    and which of them touch; the second labels a subblock again and gives its components their final
    ids. Memory grows with the number of components, not of pixels: see
    `geometry.components.Stitcher`.
    """

    def __init__(self, read_classes: ReadBlock, shape: Sequence[int], min_object_px: int = 0):
        self.shape = tuple(shape)
        self._read, self._min_px = read_classes, min_object_px

    @cached_property
    def _numbering(self) -> tuple[dict[tuple[int, ...], np.ndarray], int]:
        stitcher = Stitcher(self.shape)
        for block in plan_blocks(self.shape, chunk_and_shard(self.shape)[1]):
            classes = self._read(block)
            for subblock in subblocks(block, self.shape[0] == 1):
                part = classes[inside(subblock, block)]
                stitcher.add(subblock, label_block(part), part)
        return stitcher.numbering(self._min_px)

    @property
    def count(self) -> int:
        """How many objects there are."""
        return self._numbering[1]

    def ids(self, block: Block) -> np.ndarray:
        """Ids of a block, (z, y, x), 0 = background."""
        classes = self._read(block)

        def number(subblock: Block) -> np.ndarray:
            return self._number(subblock, classes[inside(subblock, block)])

        return assemble(block, self.shape[0] == 1, number, id_dtype(self.count))

    def classes(self, block: Block) -> np.ndarray:
        """Class map of a block, (z, y, x) uint8, without what is too small."""
        classes = self._read(block)
        if self._min_px <= 1:
            return classes

        def without_small(subblock: Block) -> np.ndarray:
            part = classes[inside(subblock, block)]
            is_small = (self._number(subblock, part) == 0) & (part != IGNORE)
            return np.where(is_small, 0, part)

        return assemble(block, self.shape[0] == 1, without_small, np.uint8)

    def _number(self, subblock: Block, classes: np.ndarray) -> np.ndarray:
        """Final ids of the components of a subblock."""
        return self._numbering[0][subblock.index][label_block(classes)]


def write_numbered(
    folder: Path,
    key: str,
    objects: Numbered,
    class_names: Sequence[str],
    pixel_size_um: Sequence[float] | None,
    kind: str,
    **attributes: object,
) -> None:
    """Write a label store of objects with the ids 1, 2, ..., uint32, or uint64 where they must be.

    Nothing is asked of the objects for blocks that an earlier try has finished.
    """
    shape = objects.shape
    classes = write_classes(folder, key, shape, objects.classes, class_names, pixel_size_um)
    writer = StoreWriter(folder, key, "labels")
    largest = id_dtype(prod(shape))
    is_small = largest == np.uint32
    dtype = largest if is_small else writer.dtype_of("0") or id_dtype(objects.count)
    writer.add_array("0", shape, dtype, AXES)

    def number(block: Block) -> tuple[np.ndarray, dict]:
        ids = objects.ids(block)
        return ids, {"largest": int(ids.max())}

    writer.fill("0", number, label="objects")
    count = max(record["largest"] for record in writer.records("0"))
    _commit_objects(writer, classes, kind, count, **attributes)


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
    objects = Components(read_classes, shape, min_object_px)
    write_numbered(folder, key, objects, class_names, pixel_size_um, kind)
