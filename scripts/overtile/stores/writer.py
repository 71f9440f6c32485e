"""Write a store block by block: resumable, committed last, digested."""

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import zarr

from overtile.errors import InputError
from overtile.geometry.spans import Block, plan_blocks
from overtile.progress import progress
from overtile.stores.digest import digest_of_digests, digest_pixels
from overtile.stores.effort import EFFORT, note_begin
from overtile.stores.files import is_leftover, say_if_full, write_json
from overtile.stores.journal import NAME, Journal
from overtile.stores.layout import chunk_and_shard
from overtile.stores.scheduling import write_in_threads, write_on_cluster
from overtile.stores.store import ROOT, store_path
from overtile.stores.undamaged import is_on_disk

if TYPE_CHECKING:
    import distributed

Compute = Callable[[Block], tuple[np.ndarray, dict]]

INSIDE = {"labels", "classes", "work"}
"""Stores that may lie inside another one and are left alone by it."""


def claim(path: Path, holds: str) -> None:
    """Make a folder ready to be written as a store: from now on no finished store is there.

    Raises InputError for a folder with anything in it but an earlier store of the same kind, or
    stores that lie inside one: nobody's files are deleted by a wrong path.
    """
    path.mkdir(parents=True, exist_ok=True)
    found = Journal.holder(path)
    names = {entry.name for entry in path.iterdir()} - INSIDE - {EFFORT}
    strangers = sorted(name for name in names if not is_leftover(name, NAME, EFFORT))
    if found is None and strangers:
        raise InputError(
            f"{path}: has files that are not of a store ({strangers[0]}); choose another folder"
        )
    if found not in (None, "", holds):
        raise InputError(f"{path}: holds {found}, not {holds}; choose another folder")
    (path / ROOT).unlink(missing_ok=True)


class StoreWriter:
    """Writes the arrays of one store. One shard is one block, written whole by one task.

    holds: picture, labels, classes, weights, probabilities or work; a folder that holds anything
    else is refused. key: digest of inputs, settings and code. Under the same key an earlier try's
    blocks are kept; under another one the store starts empty. Only arrays of this store are
    touched: stores that lie inside it stay.
    """

    def __init__(self, path: str | Path, key: str, holds: str):
        self.path = store_path(path)
        self._holds = holds
        claim(self.path, holds)
        self._journal = Journal(self.path, key, holds)
        self._arrays: dict[str, zarr.Array] = {}
        levels = [folder for folder in self.path.iterdir() if folder.name.isdigit()]
        if self._journal.is_fresh:
            # A kill amid the removal must not leave a journal that vouches for removed shards.
            self._journal.void()
            for level in levels:
                shutil.rmtree(level)
        for level in levels:
            for torn in level.glob("**/*.partial"):
                torn.unlink(missing_ok=True)  # what a kill left of zarr's own temporary files
        self._journal.start()
        note_begin(self.path, key, self._journal.is_fresh)

    def add_array(
        self,
        name: str,
        shape: Sequence[int],
        dtype: np.dtype,
        axes: Sequence[str],
        shard_scale: int = 1,
    ) -> zarr.Array:
        """Create (or find, when resuming) an array whose last three axes are z, y, x.

        shard_scale: see `layout.chunk_and_shard`.
        """
        extra = tuple(shape[:-3])
        chunk, shard = chunk_and_shard(shape[-3:], shard_scale)
        if self.has_array(name):
            array = zarr.open_array(self.path / name, mode="r+")
        else:
            with say_if_full(self.path):
                array = zarr.create_array(
                    self.path / name,
                    shape=tuple(shape),
                    chunks=(1,) * len(extra) + chunk,
                    shards=extra + shard,
                    dtype=dtype,
                    compressors=zarr.codecs.ZstdCodec(level=1, checksum=True),
                    dimension_names=list(axes),
                )
        self._arrays[name] = array
        return array

    def has_array(self, name: str) -> bool:
        """Whether an earlier try under the same key has created an array."""
        return (self.path / name / ROOT).exists()

    def array(self, name: str) -> zarr.Array:
        """An array added before."""
        return self._arrays[name]

    def blocks(self, name: str) -> list[Block]:
        """The (z, y, x) blocks of an array, one per shard."""
        array = self._arrays[name]
        return plan_blocks(array.shape[-3:], array.shards[-3:])

    def fill(
        self,
        name: str,
        compute: Compute,
        label: str,
        workers: int = 1,
        client: "distributed.Client | None" = None,
    ) -> None:
        """Compute and write every block that no earlier try has finished, or whose shard is lost.

        compute: gives a block's pixels and a record for the journal. Dask runs `workers` blocks at
        once in threads, so that reading, computing and writing overlap; with one worker blocks run
        in order. client: of a Dask cluster, whose workers each run one block at a time; `compute`
        is then sent to them, and they must see the store's folder.
        """
        blocks = self.blocks(name)
        todo = self.missing(name)
        write = partial(write_block, self._arrays[name], self._journal.refuse_others, compute)
        with progress(len(blocks), label, start=len(blocks) - len(todo)) as advance:

            def note(block: Block, record: dict) -> None:
                self._journal.append(_entry(name, block), record)
                advance()

            if client is not None:
                write_on_cluster(client, write, todo, note)
            elif workers == 1 or len(todo) < 2:
                for block in todo:
                    note(block, write(block))
            else:
                write_in_threads(workers, write, todo, note)

    def missing(self, name: str) -> list[Block]:
        """The blocks of an array that no earlier try has finished, or whose shard is lost."""
        return [block for block in self.blocks(name) if not self._is_done(name, block)]

    def _is_done(self, name: str, block: Block) -> bool:
        record = self._journal.get(_entry(name, block))
        return record is not None and is_on_disk(self._arrays[name], block, record["sha256"])

    def records(self, name: str) -> list[dict]:
        """The journal's records of all blocks of an array, in raster order."""
        return [self._journal.get(_entry(name, block)) for block in self.blocks(name)]

    def commit(self, ome: dict, **attributes: object) -> None:
        """Write the root: from now on the store exists.

        ome: OME-Zarr metadata. attributes: what else is known, all of it fixed by the content, so
        that the same content gives the same bytes. The digest covers both.
        """
        attributes = {"holds": self._holds, **attributes}
        pixels = digest_of_digests(record["sha256"] for record in self.records("0"))
        digest = digest_of_digests([pixels, repr(ome), repr(attributes)])
        own = {"digest": digest, **attributes}
        write_json(
            self.path / ROOT,
            {
                "zarr_format": 3,
                "node_type": "group",
                "attributes": {"ome": ome, "overtile": own},
            },
        )


def _entry(name: str, block: Block) -> str:
    return f"{name}/{'.'.join(map(str, block.index))}"


def write_block(
    array: zarr.Array, refuse_others: Callable[[], None], compute: Compute, block: Block
) -> dict:
    """Compute one block and write its shard; return the record that says it is done.

    refuse_others: see `Journal.refuse_others`; called just before the shard is written.
    """
    pixels, record = compute(block)
    pixels = np.ascontiguousarray(pixels, dtype=array.dtype)
    refuse_others()
    with say_if_full(Path(array.store.root).parent):
        array[(..., *block.slices)] = pixels
    return {"sha256": digest_pixels(pixels), **record}
