"""From raw labels of a person or a program to a label store."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from overtile.errors import InputError
from overtile.geometry.components import IGNORE
from overtile.geometry.spans import Block
from overtile.stores.labels import write_classes, write_component_store, write_objects


def integer_labels(path: Path, pixels: np.ndarray) -> np.ndarray:
    """Check that labels are whole numbers from 0, in one channel; return them as (z, y, x)."""
    if pixels.shape[0] != 1:
        raise InputError(
            f"{path}: labels have {pixels.shape[0]} channels; allowed: 1; save them as grey values"
        )
    labels = pixels[0]
    if labels.dtype.kind == "f":
        whole = np.isfinite(labels) & (labels == np.rint(labels)) & (abs(labels) < 2**63)
        if not whole.all():
            raise InputError(f"{path}: labels are not whole numbers; save them as integers")
        labels = labels.astype(np.int64)
    if labels.dtype.kind == "i" and labels.size and labels.min() < 0:
        raise InputError(
            f"{path}: has label {labels.min()}; allowed: 0 and above; correct the file"
        )
    return labels


def to_classes(
    path: Path, labels: np.ndarray, kind: str, values: Sequence[int], ignore: int | None
) -> np.ndarray:
    """Class map, uint8, of raw labels.

    kind: instances and binary know background (0) and foreground (any other value); semantic maps
    values[i] to class i. ignore: raw value of pixels that nobody is scored or trained on.
    """
    if kind == "semantic":
        classes = np.full(labels.shape, IGNORE, dtype=np.uint8)
        known = labels == ignore if ignore is not None else np.zeros(labels.shape, dtype=bool)
        for number, value in enumerate(values):
            classes[labels == value] = number
            known |= labels == value
        if not known.all():
            raise InputError(
                f"{path}: has label {labels[~known].ravel()[0]}; allowed: "
                f"{', '.join(map(str, values))}; correct the file, or add the value "
                "to labels.values or labels.ignore"
            )
        return classes
    classes = (labels != 0).astype(np.uint8)
    if ignore is not None:
        classes[labels == ignore] = IGNORE
    return classes


def write_reference(
    raw,
    store: Path,
    key: str,
    kind: str,
    class_names: Sequence[str],
    values: Sequence[int],
    ignore: int | None,
    pixel_size_um: Sequence[float] | None,
) -> None:
    """Stream raw labels into a label store.

    kind instances: ids stay as they are, of any integer dtype. binary and semantic: objects are
    the face-connected components of each foreground class.
    """

    def read_labels(block: Block) -> np.ndarray:
        return integer_labels(raw.path, raw.read(block.slices))

    def read_classes(block: Block) -> np.ndarray:
        return to_classes(raw.path, read_labels(block), kind, values, ignore)

    shape = raw.shape[1:]
    if kind != "instances":
        write_component_store(store, key, shape, read_classes, class_names, pixel_size_um, kind)
        return

    def read_ids(block: Block) -> np.ndarray:
        labels = read_labels(block)
        return labels if ignore is None else np.where(labels == ignore, 0, labels)

    classes = write_classes(store, key, shape, read_classes, class_names, pixel_size_um)
    dtype = np.uint64 if raw.dtype.itemsize > 4 or raw.dtype.kind == "f" else np.uint32
    write_objects(store, key, shape, dtype, read_ids, classes, kind)
