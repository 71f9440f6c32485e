"""OME-Zarr 0.5 stores, read by everyone and written by `StoreWriter`.

A store is a folder. Its root `zarr.json` is written last: a store without it does not exist.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from overtile.errors import InputError
from overtile.stores.checked import (
    Checked,
    open_array,
    refuse_lost_shards,
    refuse_odd_level,
)
from overtile.stores.journal import Journal, recorded
from overtile.stores.root import ROOT, of_level, read_root, remedy


def store_path(path: str | Path) -> Path:
    """The folder of a store, given itself or its root `zarr.json`."""
    path = Path(path)
    return path.parent if path.name == ROOT else path


@dataclass(frozen=True)
class Store:
    """A committed store. Arrays are (c, z, y, x) for pictures and (z, y, x) for labels.

    array_digests: SHA-256 of each array's metadata file; None where they are not known. file: the
    plain file that a temporary store was made from; None for a store of its own.
    """

    path: Path
    attributes: dict
    array_digests: dict[str, str] | None = None
    file: Path | None = None
    _opened: dict[int, Checked] = field(default_factory=dict, repr=False, compare=False)
    _looked_for: set[int] = field(default_factory=set, repr=False, compare=False)

    @classmethod
    def open(cls, path: str | Path, holds: str | None = None, file: Path | None = None) -> "Store":
        """Open a store by its folder or root file, and verify the root.

        holds: what it must hold: picture, labels, classes, weights or probabilities; None for any.
        Raises InputError if it holds something else, was never committed, or is damaged.
        """
        folder = store_path(path)
        root = read_root(folder)
        if holds not in (None, root.own["holds"]):
            raise InputError(
                f"{folder}: holds {root.own['holds']}; give a store that holds {holds}"
            )
        return cls(folder, {"ome": root.ome, **root.own}, root.arrays, file)

    @property
    def shown(self) -> Path:
        """The path that a person knows it by, for messages."""
        return self.file or self.path

    @cached_property
    def array(self) -> Checked:
        """The full-size array."""
        return self.level(0)

    def level(self, number: int) -> Checked:
        """The array of one pyramid level, 0 = full size.

        The first time its shards are looked for. Raises InputError if one is lost.
        """
        array = self._open(number)
        if number not in self._looked_for:
            known = {} if self.array_digests is not None else recorded(self.path)
            refuse_lost_shards(self.path, array, of_level(known, str(number)))
            self._looked_for.add(number)
        return array

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of each pyramid level; no shard is looked for."""
        return [self._open(number).shape for number in range(self.levels)]

    def _open(self, number: int) -> Checked:
        if number not in self._opened:
            name = str(number)
            array = open_array(self.path, name, (self.array_digests or {}).get(name))
            if number:
                datasets = self.attributes["ome"]["multiscales"][0]["datasets"]
                refuse_odd_level(self.path, number, array.shape, self._open(0).shape, datasets)
            elif "mean" in self.attributes and len(self.mean) != array.shape[0]:
                raise InputError(
                    f"{self.path}: has {array.shape[0]} channels, but its {ROOT} knows the mean of "
                    f"{len(self.mean)}; {remedy(self.path)}"
                )
            self._opened[number] = array
        return self._opened[number]

    @property
    def levels(self) -> int:
        """Number of pyramid levels."""
        return len(self.attributes["ome"]["multiscales"][0]["datasets"])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x) in pixels."""
        z, y, x = self._open(0).shape[-3:]
        return z, y, x

    @property
    def pixel_size_um(self) -> tuple[float, float, float]:
        """(z, y, x) pixel edges in micrometres; 1.0 where they are not known."""
        return tuple(self.attributes["pixel_size_um"] or (1.0, 1.0, 1.0))

    @property
    def mean(self) -> list[float]:
        """Mean intensity of each channel of a picture."""
        return self.attributes["mean"]

    @property
    def std(self) -> list[float]:
        """Standard deviation of each channel of a picture."""
        return self.attributes["std"]

    @property
    def digest(self) -> str:
        """Digest of the pixels and of what they mean."""
        return self.attributes["digest"]

    @property
    def name(self) -> str:
        """Name for messages and reports: the folder without its endings."""
        return self.path.name.removesuffix(".zarr").removesuffix(".ome")

    def label(self, name: str) -> "Store":
        """A label store that lies inside this one."""
        return Store.open(self.path / "labels" / name, "labels")

    def label_classes(self) -> "Store":
        """The class map that lies inside a label store."""
        return Store.open(self.path / "classes", "classes", self.file)


def finished_labels(picture: Store) -> dict[str, Store]:
    """The finished label stores of this project inside a picture's store, by name.

    Those of other programs are left out. Raises InputError for a damaged one of this project.
    """
    roots = sorted((picture.path / "labels").glob(f"*/{ROOT}"))
    found = {root.parent.name: Store.open(root) for root in roots if _is_ours(root)}
    return {name: store for name, store in found.items() if store.attributes["holds"] == "labels"}


def _is_ours(root: Path) -> bool:
    """Whether a root file, which may be damaged, is of this project."""
    return Journal.holder(root.parent) is not None or b'"overtile"' in root.read_bytes()


def labels_of(images: Sequence[Store], paths: Sequence[Path] | None) -> list[Store]:
    """The label stores of pictures: as given, in the same order, or `reference` inside each.

    Raises InputError if there are not as many, or one does not have its picture's shape.
    """
    if paths is None:
        return [image.label("reference") for image in images]
    if len(paths) != len(images):
        raise InputError(
            f"--labels: {len(paths)} stores for {len(images)} pictures; give one per picture"
        )
    stores = [Store.open(path, "labels") for path in paths]
    for image, labels in zip(images, stores, strict=True):
        if labels.shape != image.shape:
            raise InputError(
                f"{labels.path}: is {labels.shape} (z, y, x) px, its picture {image.path} "
                f"{image.shape}; give pictures and labels in the same order"
            )
    return stores
