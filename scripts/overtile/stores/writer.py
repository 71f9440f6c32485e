"""Write a store block by block: resumable, committed last, digested."""

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING

import numpy as np
import zarr
from numpy.typing import DTypeLike
from zarr.codecs import ZstdCodec
from zarr.storage import MemoryStore

from overtile.errors import InputError
from overtile.geometry.spans import Block, plan_blocks
from overtile.progress import Advance, progress
from overtile.stores.checked import Checked, open_array, shard_key
from overtile.stores.digest import digest_file, digest_of_digests, digest_pixels
from overtile.stores.files import is_leftover, refuse_links, say_if_full, write_json
from overtile.stores.journal import NAME as JOURNAL
from overtile.stores.journal import Journal, arrays_named, void_journal
from overtile.stores.layout import chunk_and_shard
from overtile.stores.root import ROOT, read_root, sealed_root
from overtile.stores.run_log import RUN_LOG, log_start
from overtile.stores.scheduling import write_in_threads, write_on_cluster
from overtile.stores.store import store_path

if TYPE_CHECKING:
    import distributed
    from zarr.core.array_spec import ArrayConfigParams

Compute = Callable[[Block], tuple[np.ndarray, dict]]

INSIDE = {"labels", "classes", "work"}
"""Stores that may lie inside another one and are left alone by it."""


WRITE_ZEROS: "ArrayConfigParams" = {"write_empty_chunks": True}
"""Every shard of a finished store lies on disk, so that one that does not is lost."""


def claim(path: Path, holds: str) -> None:
    """Make a folder ready to be written as a store: from now on no finished store is there.

    Raises InputError for a folder with anything in it but an earlier store of the same kind, or
    stores that lie inside one. Of an earlier store only the arrays are ours that its journal names,
    or its sealed root where the journal is lost: nobody's files are deleted by a wrong path.
    """
    path.mkdir(parents=True, exist_ok=True)
    found, arrays = Journal.holder(path), arrays_named(path)
    is_lost = found is None
    if is_lost:
        found, arrays = _sealed(path)
    names = {entry.name for entry in path.iterdir()} - INSIDE - {RUN_LOG} - arrays
    names = {name for name in names if not is_leftover(name, JOURNAL, RUN_LOG)}
    if found is not None:
        names = {name for name in names - {JOURNAL, ROOT} if name.isdigit()}
    if names:
        listed = ", ".join(sorted(names)[:8])
        raise InputError(
            f"{path}: has files that do not belong to a store ({listed}); choose another folder, "
            "or delete them if you do not need them"
        )
    if found not in (None, "", holds):
        raise InputError(f"{path}: holds {found}, not {holds}; choose another folder")
    refuse_links(path, arrays | INSIDE - {"labels"})
    if is_lost and found is not None:
        void_journal(path, holds, arrays)  # before the root goes, which alone names the arrays
    (path / ROOT).unlink(missing_ok=True)


def _sealed(path: Path) -> tuple[str | None, set[str]]:
    """What a store's root says that it holds, and its arrays; nothing without a seal."""
    try:
        root = read_root(path)
    except InputError:
        return None, set()
    return (None, set()) if root.arrays is None else (root.own["holds"], set(root.arrays))


class StoreWriter:
    """Writes the arrays of one store. One shard is one block, written whole by one task.

    holds: picture, labels, classes, weights, probabilities or work; a folder that holds anything
    else is refused. key: digest of inputs, settings and code. Under the same key an earlier try's
    blocks are kept, as far as they are what the journal says; under another one the store starts
    empty. Only arrays of this store are touched: stores that lie inside it stay.
    """

    def __init__(self, path: str | Path, key: str, holds: str):
        self.path = store_path(path)
        self._holds = holds
        claim(self.path, holds)
        self._journal = Journal(self.path, key, holds)
        self._arrays: dict[str, zarr.Array] = {}
        self._checked: dict[str, Checked] = {}
        self._is_sure: set[str] = set()
        if self._journal.is_fresh:
            # A kill during the removal must not leave a journal that lists removed shards.
            self._journal.void()
            for level in self._folders():
                shutil.rmtree(level)
            self._journal.forget_arrays()
        for level in self._folders():
            for torn in level.glob("**/*.partial"):
                torn.unlink(missing_ok=True)  # what a kill left of zarr's own temporary files
        self._journal.start()
        log_start(self.path, key, self._journal.is_fresh)

    def _folders(self) -> list[Path]:
        """The arrays that lie there, all of this store."""
        folders = [self.path / name for name in sorted(self._journal.arrays)]
        return [folder for folder in folders if folder.exists()]

    def add_array(
        self,
        name: str,
        shape: Sequence[int],
        dtype: DTypeLike,
        axes: Sequence[str],
        shard_scale: int = 1,
    ) -> Checked:
        """Create (or find, when resuming) an array whose last three axes are z, y, x.

        Metadata that is not what would be created is made again; shards are read before they are
        kept. shard_scale: see `layout.chunk_and_shard`.
        """
        extra = tuple(shape[:-3])
        chunk, shard = chunk_and_shard(shape[-3:], shard_scale)
        create = partial(
            zarr.create_array,
            shape=tuple(shape),
            chunks=(1,) * len(extra) + chunk,
            shards=extra + shard,
            dtype=dtype,
            compressors=ZstdCodec(level=1, checksum=True),
            dimension_names=list(axes),
            config=WRITE_ZEROS,
        )
        wanted: dict = {}
        create(MemoryStore(wanted))
        metadata = self.path / name / ROOT
        self._journal.add_array(name)
        if metadata.is_file() and metadata.read_bytes() == wanted[ROOT].to_bytes():
            # Given to `open_array`, zarr 3.1 leaves it out without a word.
            array = zarr.open_array(metadata.parent, mode="r+").with_config(WRITE_ZEROS)
        else:
            metadata.unlink(missing_ok=True)
            with say_if_full(self.path):
                array = create(metadata.parent)
        self._arrays[name] = array
        self._checked[name] = open_array(self.path, name, None)
        return self._checked[name]

    def dtype_of(self, name: str) -> np.dtype | None:
        """The dtype of an array that an earlier try under the same key has created; else None."""
        try:
            is_known = name in self._journal.arrays
            return open_array(self.path, name, None).dtype if is_known else None
        except InputError:
            return None

    def array(self, name: str) -> Checked:
        """An array added before, to be read."""
        return self._checked[name]

    def blocks(self, name: str) -> list[Block]:
        """The (z, y, x) blocks of an array, one per shard."""
        array = self._checked[name]
        return plan_blocks(array.shape[-3:], array.shards[-3:])

    def fill(
        self,
        name: str,
        compute: Compute,
        *,
        label: str,
        workers: int = 1,
        client: "distributed.Client | None" = None,
    ) -> None:
        """Compute and write every block that no earlier try has finished, or whose shard is lost.

        compute: gives a block's pixels and a record for the journal. label: what is done, for
        people. Dask runs `workers` blocks at once in threads, so that reading, computing and
        writing overlap; with one worker blocks run in order. client: of a Dask cluster, whose
        workers each run one block at a time; `compute` is then sent to them, and they must see the
        store's folder.
        """
        blocks = self.blocks(name)
        todo = self.missing(name)
        folder, refuse_other_run = self.path / name, self._journal.refuse_other_run
        write = partial(write_block, folder, self._arrays[name], refuse_other_run, compute)
        done = len(blocks) - len(todo)
        with progress(len(blocks), label=label, start=done) as advance:

            def note(block: Block, record: dict) -> None:
                self._journal.append(_entry(name, block), record)
                self._is_sure.add(_entry(name, block))
                advance()

            if client is not None:
                write_on_cluster(client, write, todo, note)
            elif workers == 1 or len(todo) < 2:
                for block in todo:
                    note(block, write(block))
            else:
                write_in_threads(workers, write, todo, note)

    def missing(self, name: str) -> list[Block]:
        """The blocks of an array that no earlier try has finished, or whose shard is not as it was.

        Each finished one is read back once.
        """
        blocks = self.blocks(name)
        finished = sum(self._journal.get(_entry(name, block)) is not None for block in blocks)
        with progress(finished, label="check finished blocks") as advance:
            return [block for block in blocks if not self._is_done(name, block, advance)]

    def _is_done(self, name: str, block: Block, advance: Advance) -> bool:
        entry = _entry(name, block)
        record = self._journal.get(entry)
        if record is not None and entry not in self._is_sure:
            advance()
            try:
                pixels = self._checked[name][(..., *block.slices)]
            except InputError:
                return False
            if digest_pixels(pixels) == record.get("sha256"):
                self._is_sure.add(entry)
        return entry in self._is_sure

    def records(self, name: str) -> list[dict]:
        """The journal's records of all blocks of an array, in raster order."""
        return [self._journal.record(_entry(name, block)) for block in self.blocks(name)]

    def commit(self, ome: dict, **attributes: object) -> None:
        """Write the root: from now on the store exists.

        ome: OME-Zarr metadata. attributes: what else is known, all of it fixed by the content, so
        that the same content gives the same bytes. The digest covers both.
        """
        attributes = {"holds": self._holds, **attributes}
        pixels = digest_of_digests(record["sha256"] for record in self.records("0"))
        digest = digest_of_digests([pixels, repr(ome), repr(attributes)])
        own = {"digest": digest, **attributes}
        arrays = {name: digest_file(self.path / name / ROOT) for name in sorted(self._arrays)}
        write_json(self.path / ROOT, sealed_root(ome, own, arrays))


def _entry(name: str, block: Block) -> str:
    return f"{name}/{'.'.join(map(str, block.index))}"


def write_block(
    folder: Path,
    array: zarr.Array,
    refuse_other_run: Callable[[], None],
    compute: Compute,
    block: Block,
) -> dict:
    """Compute one block and write its shard; return the record that says it is done.

    folder: of the array. refuse_other_run: see `Journal.refuse_other_run`; called just before the
    shard is written.
    """
    pixels, record = compute(block)
    pixels = np.ascontiguousarray(pixels, dtype=array.dtype)
    refuse_other_run()
    # Zarr would read what lies there, which may be damaged, before it writes a block at a border.
    (folder / shard_key(array.ndim, block)).unlink(missing_ok=True)
    with say_if_full(folder.parent):
        place: tuple[slice | EllipsisType, ...] = (..., *block.slices)
        array[place] = pixels
    return {"sha256": digest_pixels(pixels), **record}
