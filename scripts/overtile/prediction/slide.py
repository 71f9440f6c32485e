"""Prediction of a whole slide, one shard at a time, into a store."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from overtile.errors import InputError
from overtile.geometry.spans import Block
from overtile.networks.channels import STEPS, written
from overtile.networks.device import give_back_freed_memory
from overtile.networks.normalise import Normalised
from overtile.prediction.blend import blending_borders
from overtile.prediction.foreground import Foreground
from overtile.prediction.grid import TileTooLarge, overlap
from overtile.prediction.memory import BLOCKS_AT_ONCE, SHARD_SCALE, Tiling
from overtile.prediction.pixel_size import predicted_um
from overtile.prediction.predictor import Predictor
from overtile.prediction.resampled import Resampled, Scaling, bring_back
from overtile.prediction.seams import seam_score
from overtile.prediction.tiles import predict_block, tile_grid
from overtile.stores.digest import digest_of
from overtile.stores.ngff import multiscale_attributes
from overtile.stores.scratch import NAME as WORK
from overtile.stores.scratch import remove_scratch
from overtile.stores.store import Store
from overtile.stores.writer import StoreWriter

AXES = ("c", "z", "y", "x")

STORED = np.dtype(np.uint8)

NOT_SEEN = 255
"""In all channels, which are neither all sure nor of such a class: of tiles not looked at."""


@dataclass(frozen=True)
class Prediction:
    """All that is needed to predict any block of a slide, here or on another machine.

    foreground: where to look; None for everywhere. scaling: between pixels of the slide and those
    that the network sees, in which blocks are predicted; None where they are the same. statistics:
    of the pixels that it sees, mean and standard deviation per channel; None for the slide's own.
    """

    image: Store
    predictor: Predictor
    tiling: Tiling
    foreground: Foreground | None
    scaling: Scaling | None = None
    statistics: tuple[list[float], list[float]] | None = None

    @property
    def normalised(self) -> Normalised:
        """The image as the network sees it."""
        image = self.image
        if self.scaling is None:
            return Normalised(image.array, image.mean, image.std)
        mean, std = self.statistics or (image.mean, image.std)
        return Normalised(Resampled(image, self.scaling), mean, std)

    def block(self, block: Block) -> tuple[np.ndarray, dict]:
        """What is stored of a block, (channels, z, y, x) uint8, and how many tiles it took."""
        found, count = self.seen_block(block)
        return self._in_foreground(found, block), count

    def seen_block(self, block: Block) -> tuple[np.ndarray, dict]:
        """The same in the pixels that the network sees; NOT_SEEN where no tile has looked."""
        count = {"tiles": 0, "computed": 0}
        seen = np.zeros(block.shape, bool)

        def wanted(tile: Block) -> bool:
            look = self._looks_at(tile)
            count["tiles"] += 1
            count["computed"] += look
            seen[overlap(block.start, block.stop, tile)[0]] |= look
            return look

        try:
            with self.predictor.lock.block():
                found = predict_block(
                    self.predictor,
                    self.predictor.geometry,
                    self.normalised,
                    block,
                    self.tiling.tile_px,
                    self.tiling.batch_tiles,
                    wanted,
                )
        except TileTooLarge as error:
            raise InputError(
                f"{self.image.path}: {error}: other programs use the GPU's memory, or the model "
                "is too large; end other programs, or use --device cpu"
            ) from None
        give_back_freed_memory()
        if found is None:
            found = np.empty((len(self.predictor.channels), *block.shape), np.uint8)
        found[:, ~seen] = NOT_SEEN
        return found, count

    def block_from(self, seen, scaling: Scaling, block: Block) -> np.ndarray:
        """What is stored of a block, from the array of all that `seen_block` gave."""
        found = bring_back(seen, scaling, block, self.predictor.wanted.keep)
        return self._in_foreground(found, block)

    @property
    def _nothing(self) -> np.ndarray:
        return self.predictor.nothing.reshape(-1, 1, 1, 1)

    def _looks_at(self, tile: Block) -> bool:
        """Whether the slide shows anything in a tile, or where it is brought back to."""
        if self.foreground is None:
            return True
        return self.foreground.any(self.scaling.reach(tile) if self.scaling else tile)

    def _in_foreground(self, found: np.ndarray, block: Block) -> np.ndarray:
        if self.foreground is None:
            return found
        return np.where(self.foreground.read(block), found, self._nothing)

    def borders(self, blocks: list[Block]) -> list[set[int]]:
        """Where tiles of the network's axes begin, (z, y, x): seams would be there.

        blocks: all, in the pixels that the network sees.
        """
        geometry, tile_px = self.predictor.geometry, self.tiling.tile_px
        ndim = geometry.ndim
        if not geometry.is_exact:
            shape = (self.scaling or self.image).shape[-ndim:]
            return [set()] * (3 - ndim) + blending_borders(geometry, shape, tile_px)
        starts: list[set[int]] = [set() for _ in range(3)]
        for block in blocks:
            tiles = tile_grid(block.start[-ndim:], block.stop[-ndim:], tile_px, geometry.stride)
            for axis in range(ndim):
                starts[3 - ndim + axis] |= {
                    max(tile.start[axis], block.start[3 - ndim + axis]) for tile in tiles
                }
        return [found - {0} for found in starts]


def write_prediction(
    prediction: Prediction, folder: Path, key: str, client=None, **attributes: object
) -> None:
    """Predict a slide shard by shard into a store; see `settings.prediction.Wanted` for what.

    client: of a Dask cluster that does the work; None for this process. attributes: what else the
    store is to say of itself.
    """
    image, predictor = prediction.image, prediction.predictor
    writer = StoreWriter(folder, key, "probabilities")
    writer.add_array("0", (len(predictor.channels), *image.shape), STORED, AXES, SHARD_SCALE)
    if prediction.scaling is None:
        label = f"predict {image.name}"
        writer.fill("0", prediction.block, label=label, workers=BLOCKS_AT_ONCE, client=client)
        made = _how_it_was_made(prediction, writer)
    else:
        made = _fill_by_other_pixels(prediction, prediction.scaling, writer, key, client)
    pixel_size_um = image.attributes["pixel_size_um"]
    writer.commit(
        multiscale_attributes(folder.name, AXES, [(1, 1, 1)], pixel_size_um, is_label=False),
        pixel_size_um=pixel_size_um,
        predicted_um=predicted_um(image, prediction.scaling),
        class_names=list(predictor.plan.classes),
        scale=1 / STEPS,
        **written(predictor.plan.channels, predictor.channels),
        **made,
        **attributes,
    )
    remove_scratch(folder)


def _fill_by_other_pixels(
    prediction: Prediction, scaling: Scaling, writer: StoreWriter, key: str, client
) -> dict:
    """Predict a slide in the network's pixels beside the store, and bring it back from there.

    Two stages, so that tiles are as large as on any slide and none is computed twice, however much
    larger or smaller a block becomes. The first is removed after the store is finished: what it
    says of itself is noted with each block.
    """
    if writer.missing("0"):
        statistics = Resampled(prediction.image, scaling).statistics()
        prediction = replace(prediction, statistics=statistics)
        work = StoreWriter(writer.path / WORK, digest_of(key, WORK), WORK)
        shape = (len(prediction.predictor.channels), *scaling.shape)
        seen = work.add_array("0", shape, STORED, AXES, SHARD_SCALE)
        label = f"predict {prediction.image.name}, resampled"
        work.fill("0", prediction.seen_block, label=label, workers=BLOCKS_AT_ONCE, client=client)
        made = _how_it_was_made(prediction, work)

        def bring(block: Block) -> tuple[np.ndarray, dict]:
            return prediction.block_from(seen, scaling, block), {"made": made}

        label = f"resample {prediction.image.name} to its own pixels"
        writer.fill("0", bring, label=label, workers=BLOCKS_AT_ONCE, client=client)
    return writer.records("0")[0]["made"]


def _how_it_was_made(prediction: Prediction, writer: StoreWriter) -> dict:
    """Tiles, and seams between them, of a finished array in the pixels that the network sees."""
    records = writer.records("0")
    return {
        "tiles": sum(r["tiles"] for r in records),
        "tiles_computed": sum(r["computed"] for r in records),
        "seams": seam_score(writer.array("0"), prediction.borders(writer.blocks("0")), NOT_SEEN),
    }
