"""Prediction of a whole slide, one shard at a time, into a store."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from overtile.errors import InputError
from overtile.geometry.spans import Block
from overtile.inference.foreground import Foreground
from overtile.inference.memory import BLOCKS_AT_ONCE, Tiling
from overtile.inference.predictor import QUANTISATION, Predictor, Wanted
from overtile.inference.seams import seam_score
from overtile.inference.tiles import predict_block, tile_grid
from overtile.networks.device import Device
from overtile.networks.normalise import normalise
from overtile.stores.ngff import multiscale_attributes
from overtile.stores.store import Store
from overtile.stores.writer import StoreWriter

AXES = ("c", "z", "y", "x")


class Normalised:
    """A slide's pixels, (c, z, y, x) float32, normalised when read."""

    def __init__(self, image: Store):
        self._array, self._mean, self._std = image.array, image.mean, image.std
        self.shape = image.array.shape

    def __getitem__(self, index: tuple) -> np.ndarray:
        return normalise(self._array[index], self._mean, self._std)


@dataclass(frozen=True)
class Prediction:
    """All that is needed to predict any block of a slide, here or on another machine.

    foreground: where to look; None for everywhere.
    """

    image: Store
    packages: tuple[Path, ...]
    device: Device
    wanted: Wanted
    tiling: Tiling
    foreground: Foreground | None

    @property
    def predictor(self) -> Predictor:
        """The networks, loaded once in each process."""
        return load_predictor(self.packages, self.device, self.wanted)

    def block(self, block: Block) -> tuple[np.ndarray, dict]:
        """What is stored of a block, (channels, z, y, x) uint8, and how many tiles it took."""
        count = {"tiles": 0, "computed": 0}

        def wanted(tile: Block) -> bool:
            count["tiles"] += 1
            look = self.foreground is None or self.foreground.any(tile)
            count["computed"] += look
            return look

        found = predict_block(
            *(self.predictor, self.predictor.architecture, Normalised(self.image), block),
            *(self.tiling.tile_px, self.tiling.batch_tiles, wanted),
        )
        nothing = self.predictor.nothing.reshape(-1, 1, 1, 1)
        if found is None:
            return np.broadcast_to(nothing, (len(nothing), *block.shape)), count
        if self.foreground is not None:
            found = np.where(self.foreground.read(block), found, nothing)
        return found, count

    def borders(self, blocks: list[Block]) -> list[set[int]]:
        """Where tiles of the network's axes begin, (z, y, x): seams would be there."""
        ndim = self.predictor.architecture.ndim
        stride = self.predictor.architecture.stride
        starts: list[set[int]] = [set() for _ in range(3)]
        for block in blocks:
            tiles = tile_grid(block.start[-ndim:], block.stop[-ndim:], self.tiling.tile_px, stride)
            for axis in range(ndim):
                starts[3 - ndim + axis] |= {
                    max(tile.start[axis], block.start[3 - ndim + axis]) for tile in tiles
                }
        return [found - {0} for found in starts]


@cache
def load_predictor(packages: tuple[Path, ...], device: Device, wanted: Wanted) -> Predictor:
    """The networks of some packages, loaded once in each process."""
    return Predictor(packages, device.here(), wanted)


def refuse_others(image: Store, plan: dict, pixel_size: str) -> None:
    """Raise InputError for a slide unlike those that the model was trained on.

    pixel_size: "refuse" compares pixel sizes, where they are known; "ignore" does not.
    """
    channels = plan["architecture"]["in_channels"]
    if image.array.shape[0] != channels:
        raise InputError(
            f"{image.path}: has {image.array.shape[0]} channels, the model takes "
            f"{channels}; predict slides like those it was trained on"
        )
    size = image.attributes["pixel_size_um"]
    known = [s["pixel_size_um"] for s in plan["slides"] if s["pixel_size_um"]]
    if pixel_size == "ignore" or size is None or not known:
        return
    ndim = plan["architecture"]["ndim"]
    low, high = np.min(known, axis=0)[-ndim:], np.max(known, axis=0)[-ndim:]
    edges = np.array(size[-ndim:])
    if (edges < low / SIZE_TOLERANCE).any() or (edges > high * SIZE_TOLERANCE).any():
        raise InputError(
            f"{image.path}: pixels are {_edges(edges)} um, the model was trained on "
            f"{_edges(low)} to {_edges(high)} um; resample the slide, or set prediction.pixel_size "
            "to ignore if that does not matter"
        )


SIZE_TOLERANCE = 1.2
"""Pixel sizes that differ by less than this factor count as the same."""


def _edges(edges: np.ndarray) -> str:
    return " x ".join(f"{edge:g}" for edge in edges)


def write_prediction(
    prediction: Prediction, folder: Path, key: str, client=None, **attributes: object
) -> None:
    """Predict a slide shard by shard into a store; see `inference.predictor.Wanted` for what.

    client: of a Dask cluster that does the work; None for this process. attributes: what else the
    store is to say of itself.
    """
    image, predictor = prediction.image, prediction.predictor
    writer = StoreWriter(folder, key, "probabilities")
    writer.add_array("0", (predictor.channels, *image.shape), np.uint8, AXES)
    label = f"predict {image.name}"
    writer.fill("0", prediction.block, label, workers=BLOCKS_AT_ONCE, client=client)
    records = writer.records("0")
    pixel_size_um = image.attributes["pixel_size_um"]
    writer.commit(
        multiscale_attributes(folder.name, AXES, [(1, 1, 1)], pixel_size_um, is_label=False),
        pixel_size_um=pixel_size_um,
        class_names=predictor.plan["classes"],
        scale=1 / QUANTISATION,
        tiles=sum(r["tiles"] for r in records),
        tiles_computed=sum(r["computed"] for r in records),
        seams=seam_score(writer.array("0"), prediction.borders(writer.blocks("0"))),
        **attributes,
    )
