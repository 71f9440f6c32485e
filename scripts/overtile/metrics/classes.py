"""Classes of two label stores, brought together by their names."""

import numpy as np

from overtile.errors import InputError
from overtile.geometry.components import IGNORE
from overtile.stores.store import Store


def class_names(labels: Store) -> list[str]:
    """Names of a label store's classes, by number.

    Raises
    ------
    InputError
        If two classes have one name.
    """
    names = labels.label_classes().attributes["class_names"]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise InputError(
            f"{labels.shown}: has classes {names}; more than one is called "
            f"{', '.join(twice)}; make the labels again with different names"
        )
    return names


def class_table(reference: Store, segmentation: Store) -> np.ndarray:
    """The reference's number of each class of the segmentation, by their names.

    Parameters
    ----------
    reference, segmentation : Store
        Label stores. A plain file has no names of its own: it takes those of the other one, if
        both have as many classes.

    Returns
    -------
    ndarray of uint8, shape (classes,)

    Raises
    ------
    InputError
        If the names or the backgrounds differ.
    """
    names, found = class_names(reference), class_names(segmentation)
    has_names = reference.file is None and segmentation.file is None
    if not has_names and len(found) == len(names):
        found = names
    if set(found) != set(names):
        raise InputError(
            f"{segmentation.shown}: has classes {found}, the reference {reference.shown} has "
            f"{names}; compare labels of the same classes, or ingest one of them again with "
            "the names of the other (--classes)"
        )
    if found[0] != names[0]:
        raise InputError(
            f"{segmentation.shown}: has classes {found}, the reference {reference.shown} has "
            f"{names}; the first class is the background; compare labels with the same background"
        )
    return np.array([names.index(name) for name in found], dtype=np.uint8)


def renumbered(classes: np.ndarray, table: np.ndarray, labels: Store) -> np.ndarray:
    """A block of classes by their numbers in a table; pixels to ignore stay so.

    Parameters
    ----------
    classes : ndarray of uint8, shape (z, y, x)
    table : ndarray of uint8, shape (classes,)
        The new number of each class.
    labels : Store
        That the block is from, for the message.

    Returns
    -------
    ndarray of uint8, shape (z, y, x)

    Raises
    ------
    InputError
        If a pixel has a class that the label store does not name.
    """
    largest = int(classes.max(initial=0, where=classes != IGNORE))
    if largest >= len(table):
        raise InputError(
            f"{labels.shown}: has pixels of class {largest}, but only {len(table)} classes, "
            "numbered from 0; make the labels again"
        )
    whole = np.full(IGNORE + 1, IGNORE, dtype=np.uint8)
    whole[: len(table)] = table
    return whole[classes]
