"""Pictures of ids that one stage of a computation leaves for the next: resumable, never committed.

They lie in `work/` inside the store that they are made for, until that is finished.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from overtile.geometry.spans import Block
from overtile.stores.checked import Checked
from overtile.stores.digest import digest_of
from overtile.stores.journal import NAME as JOURNAL
from overtile.stores.journal import Journal, arrays_named
from overtile.stores.writer import StoreWriter

NAME = "work"
AXES = ("z", "y", "x")


class Scratch:
    """Stages of ids of one shape, (z, y, x), under one key; the store itself never exists.

    folder: of the store that they are for. An earlier try's blocks are kept under the same key.
    """

    def __init__(self, folder: Path, key: str, shape: Sequence[int]):
        self._writer = StoreWriter(folder / NAME, digest_of(key, NAME), NAME)
        self._shape = tuple(shape)
        self._stages = 0
        self.largest = 0
        """Largest id of the last stage."""

    def add(
        self,
        dtype: Callable[[], np.dtype],
        compute: Callable[[Block], np.ndarray],
        *,
        label: str,
    ) -> Checked:
        """Write one more stage, or what of it an earlier try has left; return it.

        dtype: called only if no earlier try has begun the stage. compute: gives the ids of a block.
        label: what the stage is, for people.
        """
        name = str(self._stages)
        self._stages += 1
        dtype_of_ids = self._writer.dtype_of(name) or dtype()
        array = self._writer.add_array(name, self._shape, dtype_of_ids, AXES)

        def note(block: Block) -> tuple[np.ndarray, dict]:
            ids = compute(block)
            return ids, {"largest": int(ids.max())}

        self._writer.fill(name, note, label=label)
        self.largest = max(record["largest"] for record in self._writer.records(name))
        return array


def remove_scratch(folder: Path) -> None:
    """Remove what was left for later stages, if there is anything."""
    scratch = folder / NAME
    if Journal.holder(scratch) == NAME:
        for stage in sorted(arrays_named(scratch)):
            if (scratch / stage).exists():
                shutil.rmtree(scratch / stage)
        # Last, so that after a kill the folder is still known as one of ours.
        (scratch / JOURNAL).unlink()
    if scratch.is_dir() and not any(scratch.iterdir()):
        scratch.rmdir()
