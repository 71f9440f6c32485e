"""Small true stores, made once for all workers."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml

SETTINGS = {
    "ndim": 2,
    "depth": 2,
    "width": 4,
    "dropout": 0.2,
    "norm": "batch",
    "tile_px": [64, 64],
    "w0": 10,
    "sigma_px": 5,
    "loss": "cross_entropy_dice",
    "optimiser": "adam",
    "learning_rate": 0.003,
    "batch_tiles": 1,
    "epochs": 4,
    "steps_per_epoch": 5,
    "validation_tiles": 2,
    "seed": 0,
    "folds": 1,
    "augmentation": {},
}


@pytest.fixture(scope="session")
def archive(done, data, made_once) -> Path:
    """Three EM slices as stores a, b and c with reference labels, and settings.yaml."""

    def make(folder: Path) -> None:
        for name, number in {"a": "00", "b": "05", "c": "12"}.items():
            source = data / "em_isbi2012"
            store = folder / f"{name}.ome.zarr"
            done("ingest", "--image", source / "image" / f"{number}.png", "--store", store)
            done(
                *("ingest", "--labels", source / "label" / f"{number}.png", "--kind", "binary"),
                *("--classes", "membrane", "cell", "--store", store / "labels" / "reference"),
            )
        (folder / "settings.yaml").write_text(yaml.safe_dump(SETTINGS))

    return made_once("archive", make)


@pytest.fixture(scope="session")
def planned(done, archive, made_once) -> Path:
    """The archive with plan.yaml and weight maps."""

    def make(folder: Path) -> None:
        shutil.copytree(archive, folder, dirs_exist_ok=True)
        plan = folder / "plan.yaml"
        done(
            *("plan", "--images", folder / "a.ome.zarr", folder / "b.ome.zarr"),
            *("--validation", folder / "c.ome.zarr"),
            *("--settings", folder / "settings.yaml", "--plan", plan),
        )
        for name in "abc":
            labels = folder / f"{name}.ome.zarr" / "labels" / "reference"
            done("weigh", "--labels", labels, "--plan", plan, "--weights", folder / f"{name}.zarr")

    return made_once("planned", make)


@pytest.fixture(scope="session")
def train_command(planned):
    """The command line that trains the planned fold into a folder."""

    def command(model: Path) -> list[str]:
        stores = [planned / f"{name}.ome.zarr" for name in "abc"]
        maps = [planned / f"{name}.zarr" for name in "abc"]
        return [
            *("--plan", planned / "plan.yaml", "--images", *stores, "--weights", *maps),
            *("--model", model, "--device", "cpu", "--threads", "1"),
        ]

    return command


@pytest.fixture(scope="session")
def packaged(done, planned, train_command, made_once) -> Path:
    """A trained and packaged model; its fold lies beside it."""

    def make(folder: Path) -> None:
        done("train", *train_command(folder / "fold0"))
        done(
            *("package", "--plan", planned / "plan.yaml"),
            *("--folds", folder / "fold0", "--package", folder / "package"),
        )

    return made_once("model", make)


@pytest.fixture(scope="session")
def wide(done, data, made_once) -> Path:
    """A slide of nine shards, four when predicted: EM slices side by side."""
    from overtile.readers.opening import open_raw

    def make(folder: Path) -> None:
        files = [data / "em_isbi2012" / "image" / f"{number:02d}.png" for number in range(12)]
        tiles = [np.asarray(open_raw(file).array) for file in files]
        rows = [[tiles[(5 * row + column) % 12] for column in range(5)] for row in range(5)]
        tifffile.imwrite(folder / "wide.tif", np.block(rows)[:2200, :2350], tile=(256, 256))
        done("ingest", "--image", folder / "wide.tif", "--store", folder / "wide.ome.zarr")

    return made_once("wide", make) / "wide.ome.zarr"


@pytest.fixture(scope="session")
def predict_flags(wide, packaged):
    """The command line that predicts the wide slide."""

    def flags(target: Path, *more: object) -> list[object]:
        fixed = ("--device", "cpu", "--threads", "1", "--precision", "fp32")
        model = packaged / "package"
        return ["--image", wide, "--model", model, "--probabilities", target, *fixed, *more]

    return flags


@pytest.fixture(scope="session")
def probabilities(done, predict_flags, made_once) -> Path:
    """The wide slide, predicted in one go."""

    def make(folder: Path) -> None:
        done("predict", *predict_flags(folder / "p.ome.zarr"))

    return made_once("probabilities", make) / "p.ome.zarr"
