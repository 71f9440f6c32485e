"""Volumes: a 3D network, and a 2D network plane by plane, on real MR volumes of three classes."""

import json

import numpy as np
import pytest

from overtile.stores.store import Store

pytestmark = pytest.mark.long

SETTINGS = {
    "width": 8,
    "depth": 2,
    "norm": "batch",
    "loss": "cross_entropy_dice",
    "learning_rate": 0.005,
    "epochs": 6,
    "steps_per_epoch": 30,
    "validation_tiles": 24,
    "augmentation": {"rotation_degrees": 15, "flips": False, "elastic_px": 2},
}
CONFIG = {
    "labels": {"kind": "semantic", "classes": ["background", "anterior", "posterior"]},
    "device": "cpu",
    "models": {
        "deep": SETTINGS | {"ndim": 3, "tile_px": [28, 28, 28]},
        "flat": SETTINGS | {"ndim": 2, "tile_px": [40, 40], "batch_tiles": 8},
    },
}


@pytest.fixture(scope="module")
def results(make_project, data):
    source = data / "mri_hippocampus"
    names = sorted(path.name for path in (source / "images").iterdir())[:5]
    splits = ["train", "train", "train", "val", "test"]
    rows = [
        (f"v{i}", source / "images" / name, source / "labels" / name, split, f"patient{i}")
        for i, (name, split) in enumerate(zip(names, splits, strict=True))
    ]
    project = make_project(CONFIG, rows)
    project.run()
    return project.archive / "results"


@pytest.mark.parametrize("model", ["deep", "flat"])
def test_a_short_training_finds_the_hippocampus(results, model):
    scores = json.loads((results / "scores" / model / "v4.json").read_text())
    confusion = np.array(scores["confusion"])
    found, reference, segmented = (
        part.sum() for part in (confusion[1:, 1:], confusion[1:], confusion[:, 1:])
    )
    # Balanced class weights make a short training generous: it finds nearly all, and some more.
    # Calling every voxel foreground would score a Dice of 0.10.
    assert found / reference > 0.8
    assert 2 * found / (reference + segmented) > 0.3
    assert scores["classes"]["background"]["dice"] > 0.9


def test_the_voxel_size_reaches_every_output(results):
    slide = Store.open(results / "slides" / "v4.ome.zarr")
    assert slide.pixel_size_um == (1000.0, 1000.0, 1000.0)
    for store in (
        slide.label("deep"),
        slide.label("flat").label_classes(),
        Store.open(results / "probabilities" / "deep" / "v4.ome.zarr"),
    ):
        assert store.pixel_size_um == slide.pixel_size_um
        assert store.shape == slide.shape
