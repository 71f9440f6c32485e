"""Label stores, or plain label pictures used as if they were."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from overtile.stores.reference import write_reference
from overtile.stores.store import ROOT, Store


@contextmanager
def open_labels(path: Path, kind: str) -> Iterator[Store]:
    """Open a label store; a plain TIFF, PNG or NIfTI is first converted to a temporary one.

    kind: how a plain file is read, "instances" or "binary"; a store knows its own.
    """
    path = Path(path)
    if path.is_dir() or path.name == ROOT or not path.exists():
        yield Store.open(path, "labels")
        return
    from overtile.images.opening import open_raw

    names = ["background", "foreground"]
    with tempfile.TemporaryDirectory(prefix="overtile-") as folder:
        store = Path(folder) / path.stem
        raw = open_raw(path)
        write_reference(raw, store, "", kind, names, [0, 1], None, raw.pixel_size_um)
        yield Store.open(store)
