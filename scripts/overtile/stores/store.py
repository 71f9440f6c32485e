"""OME-Zarr 0.5 stores, read by everyone and written by `StoreWriter`.

A store is a folder. Its root `zarr.json` is written last: a store without it does not exist.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import zarr

from overtile.errors import InputError
from overtile.stores.journal import Journal

ROOT = "zarr.json"


def store_path(path: str | Path) -> Path:
    """The folder of a store, given itself or its root `zarr.json`."""
    path = Path(path)
    return path.parent if path.name == ROOT else path


@dataclass(frozen=True)
class Store:
    """A committed store. Arrays are (c, z, y, x) for pictures and (z, y, x) for labels."""

    path: Path
    attributes: dict

    @classmethod
    def open(cls, path: str | Path, holds: str | None = None) -> "Store":
        """Open a store by its folder or root file.

        holds: what it must hold: picture, labels, classes, weights or probabilities; None for any.
        Raises InputError if it holds something else, or was never committed.
        """
        folder = store_path(path)
        try:
            root = json.loads((folder / ROOT).read_text())
            own = root["attributes"]["overtile"]
            store = cls(folder, {"ome": root["attributes"]["ome"], **own})
            found = own["holds"]
        except NotADirectoryError:
            raise InputError(
                f"{folder}: is a file, not a store; make one with scripts/ingest.py"
            ) from None
        except FileNotFoundError:
            raise InputError(
                f"{folder}: no finished store here (its {ROOT} is missing); make it first"
            ) from None
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"{folder}: not a store of this project (no 'overtile' in {ROOT}); "
                "make it with scripts/ingest.py"
            ) from None
        if holds not in (None, found):
            raise InputError(f"{folder}: holds {found}; give a store that holds {holds}")
        return store

    @cached_property
    def array(self) -> zarr.Array:
        """The full-size array."""
        return self.level(0)

    def level(self, number: int) -> zarr.Array:
        """The array of one pyramid level, 0 = full size."""
        return zarr.open_array(self.path / str(number), mode="r")

    @property
    def levels(self) -> int:
        """Number of pyramid levels."""
        return len(self.attributes["ome"]["multiscales"][0]["datasets"])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x) in pixels."""
        return tuple(self.array.shape[-3:])

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
        return Store.open(self.path / "classes", "classes")


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
        raise InputError(f"--labels: {len(paths)} stores for {len(images)} pictures; give one each")
    stores = [Store.open(path, "labels") for path in paths]
    for image, labels in zip(images, stores, strict=True):
        if labels.shape != image.shape:
            raise InputError(
                f"{labels.path}: is {labels.shape} (z, y, x) px, its picture {image.path} "
                f"{image.shape}; give pictures and labels in the same order"
            )
    return stores
