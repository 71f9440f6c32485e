"""Stores that were damaged after they were finished: one line, where Zarr would give zeros."""

import json
from pathlib import Path

import numpy as np

from overtile.errors import InputError
from overtile.geometry.spans import plan_blocks
from overtile.stores.digest import digest_pixels
from overtile.stores.journal import NAME as JOURNAL
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
            raise InputError(
                f"{self._path}: has a damaged file in {self._array.path or self._array.store} "
                f"({error}); {REMEDY}"
            ) from None
        if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
            starts = ", ".join(str(i.start or 0 if isinstance(i, slice) else i) for i in index[1:])
            raise InputError(
                f"{self._path}: has NaN or infinite pixels near (z, y, x) = ({starts}); replace "
                "them by numbers in the raw picture and ingest it again"
            )
        return pixels


def refuse_incomplete(image: Store) -> None:
    """Raise InputError for a picture of which an array, a shard or its statistics are lost.

    Zarr reads a shard that is not there as zeros, and writes none for zeros: only the journal of
    the store tells both apart. Without a journal a lost shard is not noticed. Costs one look per
    shard, of which there are some hundred.
    """
    if not np.isfinite([*image.mean, *image.std]).all():
        raise InputError(
            f"{image.path}: mean or standard deviation of its pixels is not a number; "
            "replace NaN and infinite pixels in the raw picture and ingest it again"
        )
    recorded = _recorded_digests(image.path / JOURNAL)
    for level in range(image.levels):
        if not (image.path / str(level) / ROOT).exists():
            raise InputError(f"{image.path}: its pyramid level {level} is missing; {REMEDY}")
        array = image.level(level)
        for block in plan_blocks(array.shape[-3:], array.shards[-3:]):
            place = ".".join(map(str, block.index))
            leading = ["0"] * (array.ndim - 3)
            shard = image.path.joinpath(str(level), "c", *leading, *map(str, block.index))
            digest = recorded.get(f"{level}/{place}")
            if digest is None or (shard.exists() and shard.stat().st_size):
                continue
            shape = (*array.shape[:-3], *block.shape)
            if digest != digest_pixels(np.broadcast_to(array.dtype.type(0), shape)):
                raise InputError(f"{image.path}: its file {level}/c/{place} is lost; {REMEDY}")


def _recorded_digests(journal: Path) -> dict[str, str]:
    """Digest of the pixels of each block that a journal knows; a line cut short is left out."""
    found = {}
    text = journal.read_text(errors="replace") if journal.exists() else ""
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and {"block", "sha256"} <= entry.keys():
            found[entry["block"]] = entry["sha256"]
    return found
