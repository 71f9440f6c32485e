"""Overlap-tile prediction of a whole slide, one shard at a time."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from overtile.errors import InputError
from overtile.geometry.spans import Block, plan_blocks, planes, read_mirrored
from overtile.inference.predictor import Predictor
from overtile.networks.architecture import Architecture
from overtile.networks.normalise import normalise
from overtile.stores.ngff import multiscale_attributes
from overtile.stores.store import Store
from overtile.stores.writer import StoreWriter

AXES = ("c", "z", "y", "x")
QUANTISATION = 255
"""Probabilities are stored as uint8: p = value / 255, off by at most 1 / 510."""

READ_AHEAD = 2

Network = Callable[[np.ndarray], np.ndarray]


def tile_grid(
    start: Sequence[int], stop: Sequence[int], tile_px: Sequence[int], stride: Sequence[int]
) -> list[Block]:
    """Tiles that cover the box [start, stop) and begin at multiples of the network's stride.

    tile_px, one edge per axis, is rounded down to such multiples. Only then does pooling fall on
    the same pixels as in the whole picture, and tiles equal the whole.
    """
    origin = [a - a % s for a, s in zip(start, stride, strict=True)]
    edge = [max(s, t - t % s) for t, s in zip(tile_px, stride, strict=True)]
    return [
        Block(
            tile.index,
            tuple(t + o for t, o in zip(tile.start, origin, strict=True)),
            tuple(t + o for t, o in zip(tile.stop, origin, strict=True)),
        )
        for tile in plan_blocks([b - o for b, o in zip(stop, origin, strict=True)], edge)
    ]


def predict_box(
    network: Network,
    architecture: Architecture,
    array,
    leading: tuple,
    start: Sequence[int],
    stop: Sequence[int],
    tile_px: Sequence[int],
) -> np.ndarray:
    """Class probabilities, (classes, *box) float32, of the box [start, stop) of the last axes.

    array: normalised pixels, (c, *leading, *px); it is mirrored at its own borders only. The
    network's axes are those of the box; leading indexes the axes between c and them.
    Equal to running the network once over the whole mirrored picture.
    """
    result = np.empty(
        (architecture.classes, *(b - a for a, b in zip(start, stop, strict=True))), np.float32
    )
    for tile in tile_grid(start, stop, tile_px, architecture.stride):
        input_px, _ = architecture.sizes_for(tile.shape)
        corner = [a - m for a, m in zip(tile.start, architecture.margin_px, strict=True)]
        end = [c + n for c, n in zip(corner, input_px, strict=True)]
        output = network(read_mirrored(array, corner, end, (slice(None), *leading)))
        low = [max(a, t) for a, t in zip(start, tile.start, strict=True)]
        source = tuple(
            slice(lo - t, b - t) for lo, t, b in zip(low, tile.start, tile.stop, strict=True)
        )
        target = tuple(slice(lo - a, b - a) for lo, a, b in zip(low, start, tile.stop, strict=True))
        result[(slice(None), *target)] = output[(slice(None), *source)]
    return result


class _Normalised:
    """A slide's pixels, normalised when read."""

    def __init__(self, image: Store):
        self._image = image
        self.shape = image.array.shape

    def __getitem__(self, index: tuple) -> np.ndarray:
        return normalise(self._image.array[index], self._image.mean, self._image.std)


def predict_block(
    network: Network, architecture: Architecture, array, block: Block, tile_px: Sequence[int]
) -> np.ndarray:
    """Class probabilities of one (z, y, x) block of a slide, (classes, z, y, x) float32.

    A network of two axes runs plane by plane.
    """
    ndim = architecture.ndim
    result = np.empty((architecture.classes, *block.shape), np.float32)
    for piece in planes(block.shape, ndim):
        z = block.start[0] + piece[0].start
        leading = (z,) if ndim == 2 else ()
        box = predict_box(
            network, architecture, array, leading, block.start[-ndim:], block.stop[-ndim:], tile_px
        )
        result[(slice(None), *piece)] = box.reshape(result[(slice(None), *piece)].shape)
    return result


def quantise(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities in [0, 1] to uint8, rounded to the nearest of 256 steps."""
    return np.rint(probabilities * QUANTISATION).astype(np.uint8)


def write_probabilities(
    image: Store, predictor: Predictor, folder: Path, key: str, block_px: int
) -> None:
    """Predict a slide shard by shard into a store of quantised class probabilities.

    block_px: edge of the tiles in (y, x); a volume's tiles are no larger than the training tiles.
    """
    architecture = predictor.architecture
    if image.array.shape[0] != architecture.in_channels:
        raise InputError(
            f"{image.path}: has {image.array.shape[0]} channels, the model takes "
            f"{architecture.in_channels}; predict slides like those it was trained on"
        )
    tiles = (block_px,) * 2
    if architecture.ndim == 3:
        # What fitted into memory with gradients fits without them.
        tiles = tuple(min(block_px, n) for n in predictor.plan["tile_output_px"])
    writer = StoreWriter(folder, key, "probabilities")
    shape = (architecture.classes, *image.shape)
    writer.add_array("0", shape, np.uint8, AXES)
    pixels = _Normalised(image)

    def predict(block: Block) -> tuple[np.ndarray, dict]:
        return quantise(predict_block(predictor, architecture, pixels, block, tiles)), {}

    writer.fill("0", predict, f"predict {image.name}", workers=READ_AHEAD)
    pixel_size_um = image.attributes["pixel_size_um"]
    writer.commit(
        multiscale_attributes(folder.name, AXES, [(1, 1, 1)], pixel_size_um, is_label=False),
        pixel_size_um=pixel_size_um,
        class_names=predictor.plan["classes"],
        scale=1 / QUANTISATION,
    )
