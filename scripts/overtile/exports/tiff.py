"""A label pyramid as one compressed OME-TIFF, for programs that know no Zarr."""

import zlib
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import numpy as np
import tifffile

from overtile.errors import InputError
from overtile.progress import progress
from overtile.stores.checked import Checked
from overtile.stores.files import replace_when_done
from overtile.stores.store import Store

TILE_PX = 512
NAMESPACE = UUID("a1a3c5b2-1f0e-4b57-9a62-5c3d0e8b7f14")


def write_tiff(labels: Store, path: Path, what: str = "objects") -> None:
    """Write objects or classes, tile by tile, as a BigTIFF with OME metadata and pixel size.

    what: "objects" or "classes". Smaller copies for viewers are the store's own, as far as they
    have all of its planes: OME-TIFF does not halve z. Integers stay what they are; 64-bit ids are
    written as 32-bit, the largest that OME-TIFF has. Tiles are compressed by zlib, which every
    reader knows. Memory: a tile; for a volume tiles of as many planes as a chunk has, and those
    planes compressed.
    Raises InputError for an id that 32 bits do not hold, and for a damaged store.
    """
    store = labels if what == "objects" else labels.label_classes()
    levels = [store.level(number) for number in range(store.levels)]
    levels = [level for level in levels if level.shape[0] == store.shape[0]]
    dtype = np.dtype(np.uint32) if store.array.dtype == np.uint64 else store.array.dtype
    with (
        replace_when_done(path) as temporary,
        tifffile.TiffWriter(temporary, bigtiff=True, byteorder="<", ome=True) as file,
    ):
        for number, level in enumerate(levels):
            about: dict[str, Any] = {"subfiletype": 1} if number else _about(store, len(levels) - 1)
            file.write(
                _encoded_tiles(level, dtype, store.shown),
                shape=level.shape if level.shape[0] > 1 else level.shape[1:],
                dtype=dtype,
                tile=(TILE_PX, TILE_PX),
                compression="zlib",
                photometric="minisblack",
                **about,
            )


def _about(store: Store, copies: int) -> dict[str, Any]:
    """What the full-size picture says of itself: axes, pixel size, number of smaller copies."""
    axes = "ZYX" if store.shape[0] > 1 else "YX"
    metadata: dict[str, object] = {"axes": axes, "UUID": str(uuid5(NAMESPACE, store.digest))}
    about: dict[str, Any] = {"metadata": metadata, "subifds": copies}
    size = store.attributes["pixel_size_um"]
    if size:
        for axis in axes:
            metadata[f"PhysicalSize{axis}"] = size["ZYX".index(axis)]
            metadata[f"PhysicalSize{axis}Unit"] = "µm"
        per_cm = [1e4 / edge for edge in (size[2], size[1])]
        about |= {"resolution": per_cm, "resolutionunit": "CENTIMETER"}
    return about


def _encoded_tiles(array: Checked, dtype: np.dtype, shown: Path) -> Iterator[bytes]:
    """Tiles of all planes in the order that TIFF wants, compressed; each chunk is read once.

    shown: the store, for messages.
    """
    depth, height, width = array.shape
    planes = array.chunks[0]
    corners = [(y, x) for y in range(0, height, TILE_PX) for x in range(0, width, TILE_PX)]
    total = ceil(depth / planes) * len(corners)
    with progress(total, label="write TIFF", unit="tile") as advance:
        for z in range(0, depth, planes):
            later_planes: list[list[bytes]] = [[] for _ in range(min(planes, depth - z) - 1)]
            for y, x in corners:
                box = array[z : z + planes, y : y + TILE_PX, x : x + TILE_PX]
                _refuse_large_ids(box, dtype, shown)
                encoded = [zlib.compress(tile) for tile in _padded(box, dtype)]
                yield encoded[0]
                for plane, tile in zip(later_planes, encoded[1:], strict=True):
                    plane.append(tile)
                advance()
            for plane in later_planes:
                yield from plane


def _padded(box: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A box (z, y, x) as whole tiles, 0 where the picture has ended."""
    tiles = np.zeros((len(box), TILE_PX, TILE_PX), dtype.newbyteorder("<"))
    tiles[:, : box.shape[1], : box.shape[2]] = box
    return tiles


def _refuse_large_ids(box: np.ndarray, dtype: np.dtype, shown: Path) -> None:
    """Raise InputError for an id that the type of pixels does not hold."""
    if box.max() > np.iinfo(dtype).max:
        raise InputError(
            f"{shown}: has id {box.max()}; allowed in OME-TIFF: up to {np.iinfo(dtype).max}; "
            "number the objects again from 1"
        )
