"""Arrays of stores, read so that nothing lost or damaged is believed: the one place that reads any.

Zarr reads a shard that is not there as zeros, without a word.
"""

import hashlib
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import zarr
from zarr.storage import LocalStore, StorePath

from overtile.errors import InputError
from overtile.geometry.spans import Block, plan_blocks
from overtile.stores.digest import digest_pixels, digest_zeros
from overtile.stores.root import PARSE_ERRORS, ROOT, remedy

DECODER_ERRORS = (*PARSE_ERRORS, RuntimeError, ArithmeticError, EOFError, MemoryError)
"""What Zarr and its codecs raise on files that were cut short or changed."""


class Checked:
    """An array of a store, read by boxes; what cannot be read, or is no number, is refused.

    path: of the store.
    """

    def __init__(self, path: Path, array):
        self._path, self._array = path, array
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.dtype: np.dtype = array.dtype
        self.ndim: int = array.ndim

    @property
    def chunks(self) -> tuple[int, ...]:
        """Edges of what is compressed as one, in pixels."""
        return self._array.chunks

    @property
    def shards(self) -> tuple[int, ...]:
        """Edges of what is one file, in pixels."""
        return self._array.shards

    def __getitem__(self, index) -> np.ndarray:
        """A box; raises InputError for a lost or damaged shard, and for NaN or infinite pixels."""
        try:
            pixels = np.asarray(self._array[index])
        except InputError:
            raise
        except DECODER_ERRORS as error:
            folder = self._path / self._array.store.root.name
            said = " ".join(str(error).split())
            raise InputError(
                f"{self._path}: has a damaged file in {folder} ({said}); {remedy(self._path)}"
            ) from None
        if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
            raise InputError(
                f"{self._path}: has NaN or infinite pixels near (z, y, x) = "
                f"({self._start(index)}); replace them by numbers in the raw picture and ingest it "
                "again"
            )
        return pixels

    def _start(self, index) -> str:
        """Where a box begins along the last three axes, for people."""
        box = index if isinstance(index, tuple) else (index,)
        at = next((n for n, part in enumerate(box) if part is Ellipsis), len(box))
        after = box[at + 1 :]
        between = [slice(None)] * (self.ndim - at - len(after))
        full = [*box[:at], *between, *after]
        picked = [range(n)[p] for n, p in zip(self.shape, full, strict=True)]
        return ", ".join(str(getattr(p, "start", p)) for p in picked[-3:])


class _Files(LocalStore):
    """The files of an array. None may be missing or empty but shards known to be of zeros."""

    zeros: frozenset[str] = frozenset()

    async def get(self, key, prototype=None, byte_range=None):
        """What zarr asks for; it takes None for zeros."""
        content = await super().get(key, prototype, byte_range)
        if content is not None and len(content):
            return content
        if key in self.zeros:
            return None
        raise _lost(self.root.parent, f"{self.root.name}/{key}")


def _lost(store: Path, file: str) -> InputError:
    return InputError(f"{store}: its file {file} is lost; {remedy(store)}")


def open_array(store: Path, name: str, digest: str | None) -> Checked:
    """An array of a store, from its metadata alone; no shard is looked for.

    digest: SHA-256 of its metadata file, or None where the store does not know it. Raises
    InputError if the metadata is lost or damaged.
    """
    folder = store / name
    damaged = InputError(f"{folder / ROOT}: is damaged; {remedy(store)}")
    try:
        content = (folder / ROOT).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{store}: its pyramid level {name} is missing; {remedy(store)}") from None
    if digest not in (None, hashlib.sha256(content).hexdigest()):
        raise damaged
    try:
        document = json.loads(content)
        files = _Files(folder, read_only=True)
        array = zarr.Array.from_dict(StorePath(files), document)
        if not _is_plain(document, array):
            raise damaged
        return Checked(store, array)
    except DECODER_ERRORS:
        raise damaged from None


def _is_plain(document: dict, array: zarr.Array) -> bool:
    """Whether an array is of the form that this project writes.

    Other values would have zarr look elsewhere for shards, or take what is not there for others.
    """
    encoding = {"name": "default", "configuration": {"separator": "/"}}
    return (
        document["fill_value"] == 0
        and document["chunk_key_encoding"] == encoding
        and [codec["name"] for codec in document["codecs"]] == ["sharding_indexed"]
        and array.shards is not None
        and array.dtype.kind in "iuf"
        and array.ndim in (3, 4)
        and min(*array.shape, *array.shards, *array.chunks) > 0
        and all(s % c == 0 for s, c in zip(array.shards, array.chunks, strict=True))
    )


def refuse_lost_shards(store: Path, array: Checked, records: dict[str, dict]) -> None:
    """Raise InputError for an array of which a shard is lost. Costs one listing of its folders.

    records: by the place of the block, z.y.x. Stores that were written without a seal have no
    files for shards of zeros: there the record of a block tells that it is one, and the last
    record, as it depends on the shape, that the array's metadata is not damaged.
    """
    files = array._array.store
    there = _listed(files.root)
    blocks = plan_blocks(array.shape[-3:], array.shards[-3:])
    zeros = set()
    for block in blocks:
        key = shard_key(array.ndim, block)
        if key in there:
            continue
        digest = records.get(_place(block), {}).get("sha256")
        if digest != digest_zeros((*array.shape[:-3], *block.shape), array.dtype):
            raise _lost(store, f"{files.root.name}/{key}")
        zeros.add(key)
    files.zeros = frozenset(zeros)
    if records:
        last = records.get(_place(blocks[-1]))
        pixels = array[(..., *blocks[-1].slices)]
        is_other = last is not None and last.get("sha256") != digest_pixels(pixels)
        if is_other or not set(records) <= set(map(_place, blocks)):
            raise InputError(
                f"{store}: its file {files.root.name}/{ROOT}, its journal or the last shard is "
                f"damaged; {remedy(store)}"
            )


def _listed(folder: Path) -> set[str]:
    """The shards of an array that lie on disk, by their keys."""
    found = set()
    for where, _, names in os.walk(folder / "c"):
        inside = Path(where).relative_to(folder).as_posix()
        found |= {f"{inside}/{name}" for name in names}
    return found


def shard_key(ndim: int, block: Block) -> str:
    """The file of a block's shard, below the folder of its array."""
    return "/".join(["c", *["0"] * (ndim - 3), *map(str, block.index)])


def _place(block: Block) -> str:
    return ".".join(map(str, block.index))


def refuse_odd_level(
    store: Path, level: int, shape: Sequence[int], full: Sequence[int], datasets: Sequence[dict]
) -> None:
    """Raise InputError for a level whose shape does not follow from the full size and its scale."""
    try:
        first, own = (datasets[n]["coordinateTransformations"][0]["scale"] for n in (0, level))
        wanted = [math.ceil(n / round(s / f)) for n, s, f in zip(full, own, first, strict=True)]
    except (*PARSE_ERRORS, ArithmeticError):
        raise InputError(f"{store}: its {ROOT} is damaged; {remedy(store)}") from None
    if tuple(wanted) != tuple(shape):
        raise InputError(f"{store / str(level) / ROOT}: is damaged; {remedy(store)}")
