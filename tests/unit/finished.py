"""A small finished run: one store of each kind, as steps leave them."""

import json
from pathlib import Path

import numpy as np
import pytest

from overtile.geometry.spans import plan_blocks
from overtile.ingest.pictures import write_picture
from overtile.ingest.references import write_reference
from overtile.objects.segmentation import write_segmentation
from overtile.readers.raw import RawImage
from overtile.settings.segmentation import Segmenting
from overtile.stores import layout
from overtile.stores.checked import shard_key
from overtile.stores.ngff import multiscale_attributes
from overtile.stores.store import ROOT, Store
from overtile.stores.writer import StoreWriter
from overtile.targets.separated import write_separated
from overtile.targets.weights import Weighting, write_weights

NAMES = ["background", "cell"]
SIZE = (1.0, 0.5, 0.5)
SHAPE = (1, 50, 60)

STORES = {
    "picture": "s.ome.zarr",
    "labels": "s.ome.zarr/labels/reference",
    "classes": "s.ome.zarr/labels/reference/classes",
    "segmentation": "s.ome.zarr/labels/unet",
    "separated": "t.ome.zarr",
    "weights": "w.zarr",
    "probabilities": "p.ome.zarr",
}
"""Folder of each kind of store."""


def raw(pixels: np.ndarray) -> RawImage:
    """Pixels (c, z, y, x) as if they were a file."""
    return RawImage(Path("made.tif"), pixels, (0, 1, 2, 3), None)


def cells() -> np.ndarray:
    """Instances (z, y, x) that touch, with a quarter of nothing."""
    found = np.zeros(SHAPE, np.uint16)
    for number, (y, x) in enumerate([(2, 2), (2, 12), (20, 5), (36, 30), (30, 44)], start=1):
        found[0, y : y + 10, x : x + 10] = number
    return found


def make_picture(folder: Path) -> None:
    """A float picture of two channels."""
    pixels = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32)
    pixels[..., :32, :32] = 0
    write_picture(raw(pixels), folder / STORES["picture"], "k", SIZE, ["one", "two"])


def make_labels(folder: Path) -> None:
    """Reference labels and their classes."""
    pixels = cells()[None]
    target = folder / STORES["labels"]
    write_reference(raw(pixels), target, "k", "instances", NAMES, [0, 1], None, SIZE)


def make_separated(folder: Path) -> None:
    """Labels with borders."""
    labels = Store.open(folder / STORES["labels"], "labels")
    write_separated(labels, folder / STORES["separated"], "k", 1, 2)


def make_weights(folder: Path) -> None:
    """A weight map."""
    weighting = Weighting([1.0, 2.0], 10.0, 3.0, [1.0, 1.0])
    labels = Store.open(folder / STORES["separated"], "labels")
    write_weights(labels, folder / STORES["weights"], "k", weighting)


def make_probabilities(folder: Path) -> None:
    """Probabilities of cells."""
    foreground = np.where(cells() > 0, 200, 20).astype(np.uint8)
    pixels = np.stack([255 - foreground, foreground])
    writer = StoreWriter(folder / STORES["probabilities"], "k", "probabilities")
    writer.add_array("0", pixels.shape, np.uint8, "czyx")
    writer.fill("0", lambda block: (pixels[(slice(None), *block.slices)], {}), label="p")
    ome = multiscale_attributes("p", "czyx", [(1, 1, 1)], SIZE, is_label=False)
    writer.commit(ome, pixel_size_um=list(SIZE), class_names=NAMES, scale=1 / 255)


def make_segmentation(folder: Path) -> None:
    """What probabilities become."""
    probabilities = Store.open(folder / STORES["probabilities"], "probabilities")
    write_segmentation(probabilities, folder / STORES["segmentation"], "k", Segmenting())


STEPS = {
    "picture": make_picture,
    "labels": make_labels,
    "classes": make_labels,
    "separated": make_separated,
    "weights": make_weights,
    "probabilities": make_probabilities,
    "segmentation": make_segmentation,
}
"""The step that makes each kind of store, in running order."""


def small_layout(patch: pytest.MonkeyPatch) -> None:
    """Four shards in a picture, and two levels."""
    patch.setattr(layout, "PICTURE_CHUNK", (1, 16, 16))
    patch.setattr(layout, "PICTURE_SHARD", (1, 32, 32))
    patch.setattr(layout, "SMALLEST_LEVEL_PX", 32)


def make_all(folder: Path) -> Path:
    """All stores of a run."""
    for step in dict.fromkeys(STEPS.values()):
        step(folder)
    return folder


def make_old(folder: Path) -> None:
    """Make a store as it was written before there were seals: shards of zeros have no file."""
    store = Store.open(folder)
    for number in range(store.levels):
        array = store.level(number)
        for block in plan_blocks(array.shape[-3:], array.shards[-3:]):
            if not array[(..., *block.slices)].view(np.uint8).any():
                (folder / str(number) / shard_key(array.ndim, block)).unlink()
    root = json.loads((folder / ROOT).read_text())
    del root["attributes"]["overtile"]["seal"], root["attributes"]["overtile"]["arrays"]
    (folder / ROOT).write_text(json.dumps(root, indent=1) + "\n")
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    lines = [{k: v for k, v in line.items() if k != "crc32"} for line in lines]
    kept = [json.dumps(line) + "\n" for line in lines if "array" not in line]
    (folder / "journal.jsonl").write_text("".join(kept))


def read_all(folder: Path) -> tuple[dict, list[bytes]]:
    """Everything that a store says, and the pixels of each of its levels with their form."""
    store = Store.open(folder)
    arrays = [store.level(number) for number in range(store.levels)]
    pixels = [array[:] for array in arrays]
    forms = [f"{p.shape} {p.dtype.str}".encode() + p.tobytes() for p in pixels]
    return {**store.attributes, "size": store.pixel_size_um, "shapes": store.shapes}, forms


def shard_of(folder: Path) -> Path:
    """The first shard of a store's full-size array that lies on disk."""
    return min(path for path in (folder / "0" / "c").rglob("*") if path.is_file())
