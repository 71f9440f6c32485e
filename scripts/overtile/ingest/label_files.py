"""Label stores, or plain label pictures used as if they were."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from overtile.ingest.references import write_reference
from overtile.stores.journal import Journal
from overtile.stores.store import ROOT, Store


@contextmanager
def open_labels(path: Path, kind: str, beside: Path | None = None) -> Iterator[Store]:
    """Open a label store; a plain TIFF, PNG or NIfTI is first converted to a temporary one.

    kind: how a plain file is read, "instances" or "binary"; a store knows its own. beside: a store
    that other machines see, too; they then see the temporary one, which lies next to it. What kills
    leave there `remove_temporary` removes. None takes this machine's own folder for such things.
    Raises InputError if there is nothing at the path, or something else.
    """
    path = Path(path)
    if _is_store(path):
        yield Store.open(path, "labels")
        return
    from overtile.readers.opening import open_raw

    names = ["background", "foreground"]
    prefix, parent = "overtile-", None
    if beside is not None:
        prefix, parent = _prefix(beside), beside.parent
        parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent) as folder:
        store = Path(folder) / path.stem
        raw = open_raw(path)
        write_reference(raw, store, "", kind, names, [0, 1], None, raw.pixel_size_um)
        yield Store.open(store, file=path)


def remove_temporary(beside: Path) -> None:
    """Remove what killed runs have left next to a store that is finished now.

    Not earlier: another run may still read its own, until it is refused to write.
    """
    for entry in beside.parent.iterdir():
        if entry.name.startswith(_prefix(beside)) and _is_temporary(entry):
            shutil.rmtree(entry, ignore_errors=True)


def _is_temporary(folder: Path) -> bool:
    """Whether a folder holds nothing but label stores of this project, or nothing yet."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    return all(
        store.is_dir()
        and (
            Journal.holder(store) == "labels"
            or Journal.holder(store / "classes") == "classes"
            or not any(store.iterdir())
        )
        for store in folder.iterdir()
    )


def _is_store(path: Path) -> bool:
    """Whether a store is meant, be it there or not; inside that of its picture it has any name."""
    if path.exists():
        return path.is_dir() or path.name == ROOT
    is_inside = any(folder.suffix == ".zarr" for folder in path.parents)
    return is_inside or path.suffix in ("", ".zarr") or path.name == ROOT


def _prefix(beside: Path) -> str:
    return f".{beside.name}-labels-"
