"""Stores that were damaged after they were finished: one line, where Zarr would give zeros."""

from pathlib import Path

import numpy as np
import zarr

from overtile.errors import InputError
from overtile.geometry.spans import Block, plan_blocks
from overtile.stores.digest import digest_zeros
from overtile.stores.journal import recorded
from overtile.stores.store import ROOT, Store

REMEDY = "copy the store again, or delete its zarr.json and make it again"
DECODER_ERRORS = (ValueError, RuntimeError)
"""What Zarr and its codecs raise on shards that were cut short or changed."""


class Checked:
    """An array of a store, read by boxes; what cannot be read, or is no number, is refused."""

    def __init__(self, path: Path, array):
        self._path, self._array = path, array
        self.shape = array.shape

    def __getitem__(self, index: tuple) -> np.ndarray:
        """A box; raises InputError for a damaged shard, and for NaN or infinite pixels."""
        try:
            pixels = np.asarray(self._array[index])
        except DECODER_ERRORS as error:
            folder = self._path / self._array.store.root.name
            raise InputError(
                f"{self._path}: has a damaged file in {folder} ({error}); copy the store again, or "
                f"delete its {ROOT} and that folder and make it again"
            ) from None
        if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
            starts = ", ".join(str(i.start or 0 if isinstance(i, slice) else i) for i in index[1:])
            raise InputError(
                f"{self._path}: has NaN or infinite pixels near (z, y, x) = ({starts}); replace "
                "them by numbers in the raw picture and ingest it again"
            )
        return pixels


def refuse_incomplete(store: Store) -> None:
    """Raise InputError for a store of which an array, a shard or its statistics are lost.

    Zarr reads a shard that is not there as zeros, and writes none for zeros: only the journal of
    the store tells both apart. Without a journal a lost shard is not noticed. Costs one look per
    shard, of which there are some hundred.
    """
    statistics = [store.attributes.get(name, []) for name in ("mean", "std")]
    if not np.isfinite(statistics).all():
        raise InputError(
            f"{store.path}: mean or standard deviation of its pixels is not a number; "
            "replace NaN and infinite pixels in the raw picture and ingest it again"
        )
    records = recorded(store.path)
    for level in range(store.levels):
        if not (store.path / str(level) / ROOT).exists():
            raise InputError(f"{store.path}: its pyramid level {level} is missing; {REMEDY}")
        array = store.level(level)
        for block in plan_blocks(array.shape[-3:], array.shards[-3:]):
            place = ".".join(map(str, block.index))
            digest = records.get(f"{level}/{place}", {}).get("sha256")
            if digest is not None and not is_on_disk(array, block, digest):
                raise InputError(f"{store.path}: its file {level}/c/{place} is lost; {REMEDY}")


def is_on_disk(array: zarr.Array, block: Block, digest: str) -> bool:
    """Whether the shard of a block lies there, or is one of zeros, which Zarr does not write.

    digest: of the block's pixels when it was written. Costs one look at the shard.
    """
    leading = ["0"] * (array.ndim - 3)
    shard = Path(array.store.root).joinpath("c", *leading, *map(str, block.index))
    if shard.exists() and shard.stat().st_size:
        return True
    return digest == digest_zeros((*array.shape[:-3], *block.shape), array.dtype)
