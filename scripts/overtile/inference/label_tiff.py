"""A label array as one compressed OME-TIFF, for programs that know no Zarr."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid5

import numpy as np
import tifffile

from overtile.errors import InputError
from overtile.progress import progress
from overtile.stores.files import replace_when_done
from overtile.stores.store import Store

TILE_PX = 512
NAMESPACE = UUID("a1a3c5b2-1f0e-4b57-9a62-5c3d0e8b7f14")


def write_tiff(store: Store, path: Path) -> None:
    """Write objects or classes, tile by tile, as a BigTIFF with OME metadata and pixel size.

    store: labels or classes. Integers stay what they are; 64-bit ids are written as 32-bit, the
    largest that OME-TIFF has. Tiles are compressed by zlib, which every reader knows. Memory: a
    tile; for a volume tiles of as many planes as a chunk has, and those planes compressed.
    Raises InputError for an id that 32 bits do not hold.
    """
    depth, height, width = store.shape
    shape, axes = ((depth, height, width), "ZYX") if depth > 1 else ((height, width), "YX")
    dtype = np.dtype(np.uint32) if store.array.dtype == np.uint64 else store.array.dtype
    size = store.attributes["pixel_size_um"]
    metadata = {"axes": axes, "UUID": str(uuid5(NAMESPACE, store.digest))}
    resolution = {}
    if size:
        names = ("PhysicalSizeZ", "PhysicalSizeY", "PhysicalSizeX")[3 - len(axes) :]
        metadata |= dict(zip(names, size[3 - len(axes) :], strict=True))
        metadata |= {f"{name}Unit": "µm" for name in names}
        edges_cm = size[2] / 1e4, size[1] / 1e4
        resolution = {"resolution": [1 / e for e in edges_cm], "resolutionunit": "CENTIMETER"}
    with (
        replace_when_done(path) as temporary,
        tifffile.TiffWriter(temporary, bigtiff=True, byteorder="<", ome=True) as file,
    ):
        file.write(
            encoded_tiles(store, dtype),
            shape=shape,
            dtype=dtype,
            tile=(TILE_PX, TILE_PX),
            compression="zlib",
            photometric="minisblack",
            metadata=metadata,
            **resolution,
        )


def encoded_tiles(store: Store, dtype: np.dtype) -> Iterator[bytes]:
    """Tiles of all planes in the order that TIFF wants, compressed; each chunk is read once."""
    depth, height, width = store.shape
    planes = store.array.chunks[0]
    corners = [(y, x) for y in range(0, height, TILE_PX) for x in range(0, width, TILE_PX)]
    with progress(len(range(0, depth, planes)) * len(corners), "write TIFF", "tile") as advance:
        for z in range(0, depth, planes):
            waiting: list[list[bytes]] = [[] for _ in range(min(planes, depth - z) - 1)]
            for y, x in corners:
                box = np.asarray(store.array[z : z + planes, y : y + TILE_PX, x : x + TILE_PX])
                if box.max() > np.iinfo(dtype).max:
                    raise InputError(
                        f"{store.path}: has id {box.max()}; allowed in OME-TIFF: up to "
                        f"{np.iinfo(dtype).max}; number the objects anew"
                    )
                tiles = np.zeros((len(box), TILE_PX, TILE_PX), dtype.newbyteorder("<"))
                tiles[:, : box.shape[1], : box.shape[2]] = box
                encoded = [zlib.compress(tile) for tile in tiles]
                yield encoded[0]
                for held, data in zip(waiting, encoded[1:], strict=True):
                    held.append(data)
                advance()
            for held in waiting:
                yield from held
