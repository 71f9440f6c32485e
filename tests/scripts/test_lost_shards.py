"""Every step that reads stores refuses one of which a shard is lost, in one line that names it."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from overtile.ingest.references import write_reference
from overtile.objects.segmentation import write_segmentation
from overtile.readers.raw import RawImage
from overtile.settings.segmentation import Segmenting
from overtile.stores.ngff import multiscale_attributes
from overtile.stores.store import ROOT, Store
from overtile.stores.writer import StoreWriter


@pytest.fixture(scope="module")
def results(planned, tmp_path_factory) -> Path:
    """The archive with plan and weight maps, and instances, probabilities, a segmentation."""
    folder = tmp_path_factory.mktemp("results") / "r"
    shutil.copytree(planned, folder)
    picture = Store.open(folder / "a.ome.zarr")
    foreground = picture.array[0].astype(np.uint8)
    pixels = np.stack([255 - foreground, foreground])
    writer = StoreWriter(folder / "p.zarr", "k", "probabilities")
    writer.add_array("0", pixels.shape, np.uint8, "czyx")
    writer.fill("0", lambda block: (pixels[(slice(None), *block.slices)], {}), label="p")
    ome = multiscale_attributes("p", "czyx", [(1, 1, 1)], None, is_label=False)
    names = ["membrane", "cell"]
    writer.commit(ome, pixel_size_um=None, class_names=names, scale=1 / 255)
    probabilities = Store.open(writer.path)
    write_segmentation(probabilities, folder / "a.ome.zarr/labels/unet", "k", Segmenting())
    instances = RawImage(Path("i.tif"), pixels[1:2] // 20, (0, 1, 2, 3), None)
    write_reference(instances, folder / "i.zarr", "k", "instances", names, [0, 1], None, None)
    return folder


def flags_of(step: str, folder: Path, package: Path) -> list[object]:
    """The command line of a step that reads the archive in a folder and writes beside it."""
    picture = folder / "a.ome.zarr"
    reference, segmentation = picture / "labels" / "reference", picture / "labels" / "unet"
    stores = [[folder / f"{name}{end}" for name in "abc"] for end in (".ome.zarr", ".zarr")]
    new = folder / "new"
    return {
        "plan": [
            *("--images", *stores[0][:2], "--validation", stores[0][2]),
            *("--settings", folder / "settings.yaml", "--plan", folder / "new.yaml"),
        ],
        "separate": ["--labels", folder / "i.zarr", "--separated", new],
        "weigh": ["--labels", reference, "--weights", new],
        "train": [
            *("--plan", folder / "plan.yaml", "--images", *stores[0], "--weights", *stores[1]),
            *("--model", new, "--device", "cpu", "--threads", "1"),
        ],
        "predict": [
            *("--image", picture, "--model", package, "--probabilities", new),
            *("--device", "cpu", "--threads", "1"),
        ],
        "segment": ["--probabilities", folder / "p.zarr", "--segmentation", new],
        "evaluate": [
            *("--reference", reference, "--segmentation", segmentation),
            *("--scores", folder / "new.json"),
        ],
        "export": ["--segmentation", segmentation, "--geojson", folder / "new.geojson"],
        "report": ["--slides", folder, "--report", folder / "new.html"],
        "view": ["--store", picture, "--port", "0"],
    }[step]


REFERENCE, MODEL = "a.ome.zarr/labels/reference", "a.ome.zarr/labels/unet"

READ = [
    *(("plan", store) for store in ("a.ome.zarr", "c.ome.zarr")),
    *(("separate", store) for store in ("i.zarr", "i.zarr/classes")),
    *(("weigh", store) for store in (REFERENCE, f"{REFERENCE}/classes")),
    *(("train", s) for s in ("b.ome.zarr", "c.ome.zarr/labels/reference/classes", "c.zarr")),
    ("predict", "a.ome.zarr"),
    ("segment", "p.zarr"),
    *(("evaluate", f"{labels}{end}") for labels in (REFERENCE, MODEL) for end in ("", "/classes")),
    *(("export", f"{MODEL}{end}") for end in ("", "/classes")),
    *(("view", store) for store in ("a.ome.zarr", REFERENCE, MODEL)),
]
"""Steps, and the stores that they read."""


@pytest.mark.parametrize(("name", "store"), READ)
def test_a_store_with_a_lost_shard_is_refused_in_one_line(
    step, results, packaged, tmp_path, name, store
):
    folder = shutil.copytree(results, tmp_path / "r")
    shard = next(path for path in (folder / store / "0" / "c").rglob("*") if path.is_file())
    shard.unlink()
    run = step(name, *flags_of(name, folder, packaged / "package"))
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith(f"{name}.py: {folder / store}: its file 0/c/")
    assert "is lost; copy the store again, or delete " in run.stderr
    assert "Traceback" not in run.stderr and len(run.stderr.splitlines()) == 1
    new = [path.name for path in folder.glob("new*") if path.is_file() or (path / ROOT).exists()]
    assert not new


@pytest.mark.parametrize("store", ["a.ome.zarr", REFERENCE, MODEL])
@pytest.mark.parametrize(("level", "is_shown"), [(0, True), (1, False)])
def test_a_report_refuses_lost_shards_of_what_it_shows(
    step, results, packaged, tmp_path, store, level, is_shown
):
    folder = shutil.copytree(results, tmp_path / "r")
    next(path for path in (folder / store / str(level) / "c").rglob("*") if path.is_file()).unlink()
    run = step("report", *flags_of("report", folder, packaged / "package"))
    assert run.returncode == is_shown, run.stderr
    assert (folder / "new.html").exists() != is_shown
    if is_shown:
        assert run.stderr.startswith(f"report.py: {folder / store}: its file {level}/c/")
        assert len(run.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["plan", "separate", "weigh", "segment", "evaluate", "export"])
def test_nothing_lost_nothing_refused(done, results, packaged, tmp_path, name):
    folder = shutil.copytree(results, tmp_path / "r")
    done(name, *flags_of(name, folder, packaged / "package"))
