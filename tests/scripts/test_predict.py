"""Predict: true runs, kills, and refusals."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import yaml
from predict import main

from overtile.images.raw import RawImage
from overtile.stores.ingest import write_picture
from overtile.stores.store import Store

ROOT = Path(__file__).resolve().parents[2]


def contents(store: Path) -> dict[str, bytes]:
    """Every file of a store but its journal, whose order is that of finishing."""
    return {
        str(f.relative_to(store)): f.read_bytes()
        for f in sorted(store.rglob("*"))
        if f.is_file() and f.name != "journal.jsonl"
    }


def test_a_prediction_killed_and_run_again_gives_the_bytes_of_an_undisturbed_one(
    predict_flags, probabilities, done, tmp_path
):
    target = tmp_path / "p.ome.zarr"
    command = [
        sys.executable,
        str(ROOT / "scripts" / "predict.py"),
        *map(str, predict_flags(target)),
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    journal = target / "journal.jsonl"
    while process.poll() is None and not (journal.exists() and len(_lines(journal)) > 2):
        time.sleep(0.01)
    assert process.poll() is None, "the prediction ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (target / "zarr.json").exists()
    finished = _lines(journal)
    done("predict", *predict_flags(target))
    assert _lines(journal)[: len(finished)] == finished
    assert contents(target) == contents(probabilities)


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def test_the_tile_size_changes_no_probability_by_more_than_one_step(
    predict_flags, probabilities, done, tmp_path
):
    done("predict", *predict_flags(tmp_path / "p.ome.zarr", "--block-px", "200"))
    one, other = (
        Store.open(p).array[:].astype(int) for p in (probabilities, tmp_path / "p.ome.zarr")
    )
    assert np.abs(one - other).max() <= 1


def test_probabilities_say_their_scale_and_sum_to_one(probabilities):
    store = Store.open(probabilities)
    total = store.array[:].astype(float).sum(axis=0) * store.attributes["scale"]
    assert np.abs(total - 1).max() < 0.01


def test_a_slide_with_other_channels_than_the_model_is_refused(
    step, done, data, packaged, tmp_path
):
    colour = sorted((data / "wsi").glob("*.svs"))[0]
    done("ingest", "--image", colour, "--store", tmp_path / "rgb.ome.zarr")
    result = step(
        *("predict", "--image", tmp_path / "rgb.ome.zarr", "--model", packaged / "package"),
        *("--probabilities", tmp_path / "p.ome.zarr"),
    )
    assert result.returncode == 1
    assert "has 3 channels, the model takes 1" in result.stderr
    assert not (tmp_path / "p.ome.zarr" / "zarr.json").exists()


def test_a_changed_weight_file_is_noticed(step, predict_flags, packaged, wide, tmp_path):
    model = tmp_path / "package"
    shutil.copytree(packaged / "package", model)
    weights = model / "fold0.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    result = step("predict", "--image", wide, "--model", model, "--probabilities", tmp_path / "p")
    assert result.returncode == 1
    assert "fold0.safetensors: missing or changed" in result.stderr


@pytest.fixture(scope="module")
def here():
    """Run the script inside this process, which has torch loaded already; give its exit code."""
    threads = torch.get_num_threads()
    fixed = ("--device", "cpu", "--threads", "1", "--precision", "fp32")
    yield lambda *arguments: main([*map(str, arguments), *fixed])
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def predicted(here, planned, packaged):
    """Predict one EM slice of 512 x 512 px in tiles of 128 px, or as told, and open the result."""

    def run(target: Path, *more: object, image: Path | None = None) -> Store:
        image = image or planned / "a.ome.zarr"
        model = packaged / "package"
        tiles = () if "--memory-gb" in more else ("--block-px", 128)
        flags = ("--image", image, "--model", model, "--probabilities", target, *tiles, *more)
        assert here(*flags) == 0
        return Store.open(target)

    return run


@pytest.fixture(scope="module")
def plain(predicted, tmp_path_factory) -> Store:
    """The slice predicted without anything special."""
    return predicted(tmp_path_factory.mktemp("plain") / "p.ome.zarr")


def pixels_of(store: Store) -> np.ndarray:
    return store.array[:].astype(int)


BACKGROUND = np.reshape([255, 0], (2, 1, 1, 1))


def test_classes_are_those_of_the_largest_probability_in_one_channel(predicted, plain, tmp_path):
    store = predicted(tmp_path / "c.ome.zarr", "--keep", "classes")
    probabilities, classes = pixels_of(plain), pixels_of(store)
    assert classes.shape == (1, *probabilities.shape[1:])
    clear = np.abs(probabilities[0] - probabilities[1]) > 1
    np.testing.assert_array_equal(classes[0][clear], probabilities.argmax(axis=0)[clear])
    assert store.attributes["wanted"]["keep"] == "classes"
    assert store.attributes["class_names"] == ["membrane", "cell"]


def test_uncertainty_is_one_more_channel_high_where_turned_tiles_disagree(
    predicted, plain, tmp_path
):
    flags = ("--uncertainty", "--test-time-augmentation", "flips")
    store = predicted(tmp_path / "p.ome.zarr", *flags)
    *classes, uncertainty = pixels_of(store)
    assert len(classes) == 2
    assert np.abs(np.sum(classes, axis=0) - 255).max() <= 1
    moved = np.abs(classes[1] - pixels_of(plain)[1])
    assert 0 < moved.mean() < 40
    # Of four values the first lies within sqrt(3) standard deviations of their mean.
    assert (moved <= 3**0.5 * uncertainty + 2).all()
    assert uncertainty.max() > 10


def test_several_models_are_averaged(here, planned, packaged, plain, tmp_path):
    model = packaged / "package"
    target = tmp_path / "p.ome.zarr"
    flags = ("--image", planned / "a.ome.zarr", "--probabilities", target, "--block-px", 128)
    assert here("--model", model, model / "plan.yaml", *flags, "--uncertainty") == 0
    assert np.abs(pixels_of(Store.open(target))[:2] - pixels_of(plain)).max() <= 1
    assert not pixels_of(Store.open(target))[2].any()


@pytest.fixture(scope="module")
def specimen(planned, tmp_path_factory) -> tuple[Path, np.ndarray]:
    """A slide with a piece of the EM slice on flat grey, and where the piece lies."""
    piece = Store.open(planned / "a.ome.zarr").array[0, 0, :200, :260]
    pixels = np.full((1, 1, 512, 600), 230, np.uint8)
    pixels[0, 0, 140:340, 100:360] = piece
    store = tmp_path_factory.mktemp("specimen") / "s.ome.zarr"
    write_picture(RawImage(Path("s.tif"), pixels, (0, 1, 2, 3), None), store, "k", None, None)
    inside = np.zeros((1, 512, 600), bool)
    inside[0, 140:340, 100:360] = True
    return store, inside


@pytest.mark.parametrize(
    "flags", [("--background", "otsu"), ("--background", "fill", "--fill-value", "230")]
)
def test_background_costs_nothing_and_foreground_is_what_it_was(
    predicted, specimen, tmp_path, flags
):
    slide, inside = specimen
    full = predicted(tmp_path / "full.ome.zarr", image=slide)
    store = predicted(tmp_path / "p.ome.zarr", *flags, image=slide)
    found, expected = pixels_of(store), pixels_of(full)
    left_out = (found == BACKGROUND).all(axis=0)
    assert left_out[:, :137].all() and left_out[:, :, 363:].all()
    changed = (found != expected).any(axis=0)
    assert not (changed & ~left_out).any()
    assert not changed[inside].mean() > 0.1  # what is as bright as the glass, amid the piece
    if "fill" in flags:
        assert not changed[inside].any()
    assert full.attributes["tiles"] == full.attributes["tiles_computed"] == 20
    assert store.attributes["tiles"] == 20
    assert store.attributes["tiles_computed"] == 6
    coarser = predicted(tmp_path / "q.ome.zarr", *flags, "--block-px", 200, image=slide)
    assert np.abs(pixels_of(coarser) - found).max() <= 1
    assert coarser.attributes["tiles_computed"] < coarser.attributes["tiles"]


@pytest.fixture(scope="module")
def mask(tmp_path_factory) -> tuple[Path, np.ndarray]:
    """A mask at half the resolution of the slice, as a TIFF, and what it says of each pixel."""
    pixels = np.zeros((256, 256), np.uint8)
    pixels[40:100, 70:120] = 1
    pixels[200, 10] = 255
    file = tmp_path_factory.mktemp("mask") / "mask.tif"
    tifffile.imwrite(file, pixels)
    return file, np.kron(pixels, np.ones((2, 2)))[None] > 0


def test_a_mask_says_where_to_look(predicted, plain, mask, tmp_path):
    file, inside = mask
    store = predicted(tmp_path / "p.ome.zarr", "--mask", file)
    expected = np.where(inside, pixels_of(plain), BACKGROUND)
    np.testing.assert_array_equal(pixels_of(store), expected)
    touched = inside.reshape(4, 128, 4, 128).any(axis=(1, 3))
    assert (store.attributes["tiles"], store.attributes["tiles_computed"]) == (16, touched.sum())
    finer = predicted(tmp_path / "q.ome.zarr", "--mask", file, "--block-px", 60)
    assert np.abs(pixels_of(finer) - expected).max() <= 1
    share = [s.attributes["tiles_computed"] / s.attributes["tiles"] for s in (store, finer)]
    assert share[1] < share[0] < 0.5


def test_a_label_store_is_a_mask_too_and_takes_the_place_of_a_threshold(
    predicted, planned, plain, tmp_path
):
    labels = planned / "a.ome.zarr" / "labels" / "reference"
    flags = ("--mask", labels, "--background", "otsu", "--keep", "classes")
    store = predicted(tmp_path / "p.ome.zarr", *flags)
    inside = Store.open(labels).array[:] > 0
    assert not pixels_of(store)[0][~inside].any()
    clear = inside & (np.abs(np.diff(pixels_of(plain), axis=0)[0]) > 1)
    most_probable = pixels_of(plain).argmax(axis=0)
    np.testing.assert_array_equal(pixels_of(store)[0][clear], most_probable[clear])


def test_an_empty_mask_leaves_nothing_to_compute(predicted, tmp_path):
    tifffile.imwrite(tmp_path / "mask.tif", np.zeros((64, 64), np.uint8))
    store = predicted(tmp_path / "p.ome.zarr", "--mask", tmp_path / "mask.tif", "--uncertainty")
    assert store.attributes["tiles_computed"] == 0
    assert (pixels_of(store) == np.reshape([255, 0, 0], (3, 1, 1, 1))).all()
    assert store.attributes["seams"]["score"] is None


def test_a_mask_that_is_larger_coloured_or_missing_is_refused_in_one_line(
    here, planned, packaged, tmp_path, capsys
):
    tifffile.imwrite(tmp_path / "large.tif", np.zeros((600, 512), np.uint8))
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((64, 64, 3), np.uint8), photometric="rgb")
    for name, words in {
        "large.tif": "larger than the slide",
        "rgb.tif": "rgb.tif: labels have 3 channels",
        "none.tif": "none.tif: ",
    }.items():
        flags = ("--image", planned / "a.ome.zarr", "--model", packaged / "package")
        target = tmp_path / "p.ome.zarr"
        assert here(*flags, "--probabilities", target, "--mask", tmp_path / name) == 1
        lines = capsys.readouterr().err.strip().splitlines()
        assert words in lines[-1]
        assert lines[-1].startswith("predict.py: ")
        assert not (target / "zarr.json").exists()


@pytest.fixture(scope="module")
def of_half_a_micrometre(packaged, tmp_path_factory) -> Path:
    """The model, as if all its training slides had pixels of 0.5 to 0.6 um."""
    model = tmp_path_factory.mktemp("sized") / "package"
    shutil.copytree(packaged / "package", model)
    plan = yaml.safe_load((model / "plan.yaml").read_text())
    for slide, edge in zip(plan["slides"], (0.5, 0.6, 0.5), strict=True):
        slide["pixel_size_um"] = [1.0, edge, edge]
    (model / "plan.yaml").write_text(yaml.safe_dump(plan))
    return model


@pytest.mark.parametrize(
    ("size", "is_refused"),
    [
        ((0.42, 0.5), False),
        ((0.41, 0.5), True),
        ((0.5, 0.71), False),
        ((0.5, 0.73), True),
        ((5, 5), True),
        (None, False),
    ],
)
def test_a_slide_of_another_pixel_size_is_refused_in_one_line_unless_told_to_ignore_it(
    here, of_half_a_micrometre, tmp_path, capsys, size, is_refused
):
    pixels = np.arange(40 * 40, dtype=np.uint16).reshape(1, 1, 40, 40)
    slide, target = tmp_path / "s.ome.zarr", tmp_path / "p.ome.zarr"
    size = size and (1.0, *size)
    write_picture(RawImage(Path("s.tif"), pixels, (0, 1, 2, 3), None), slide, "k", size, None)
    flags = ("--image", slide, "--model", of_half_a_micrometre, "--probabilities", target)
    capsys.readouterr()
    assert here(*flags) == is_refused
    lines = capsys.readouterr().err.splitlines()
    if is_refused:
        assert len(lines) == 1
        assert f"s.ome.zarr: pixels are {size[1]:g} x {size[2]:g} um" in lines[0]
        assert "trained on 0.5 x 0.5 to 0.6 x 0.6 um; resample the slide, or set" in lines[0]
        assert not target.exists()
        assert here(*flags, "--pixel-size", "ignore") == 0
    assert (target / "zarr.json").exists()


def test_little_memory_takes_longer_and_gives_the_same(predicted, plain, tmp_path):
    little = predicted(tmp_path / "little.ome.zarr", "--memory-gb", 0.1)
    much = predicted(tmp_path / "much.ome.zarr", "--memory-gb", 8)
    for store in (little, much):
        assert np.abs(pixels_of(store) - pixels_of(plain)).max() <= 1
        assert 0.8 < (store.attributes["seams"]["score"] or 1) < 1.2
    assert much.attributes["tiles"] == 1
    assert little.attributes["tiles"] > 100


def test_other_settings_never_mix_with_shards_of_an_earlier_try(predicted, mask, tmp_path):
    folder = tmp_path / "p.ome.zarr"
    settings = [
        (),
        ("--keep", "classes"),
        ("--uncertainty",),
        ("--test-time-augmentation", "flips"),
        ("--background", "otsu"),
        ("--background", "triangle"),
        ("--background", "fill", "--fill-value", "100"),
        ("--background", "fill", "--fill-value", "101"),
        ("--mask", mask[0]),
        ("--block-px", 200),
    ]
    found = {}
    for number, flags in enumerate([*settings, *settings[:3]]):
        if number % 2:
            (folder / "zarr.json").unlink()  # as after a kill
        predicted(folder, *flags)
        found.setdefault(flags, []).append(contents(folder))
    for flags in settings:
        predicted(tmp_path / "fresh" / folder.name, *flags)
        expected = contents(tmp_path / "fresh" / folder.name)
        shutil.rmtree(tmp_path / "fresh")
        assert all(one == expected for one in found[flags]), flags


def test_the_same_settings_again_compute_nothing(predicted, tmp_path, monkeypatch):
    target = tmp_path / "p.ome.zarr"
    predicted(target, "--uncertainty")
    before = contents(target)

    def fail(self, block):
        raise AssertionError("a finished block was computed again")

    monkeypatch.setattr("overtile.inference.predict.Prediction.block", fail)
    predicted(target, "--uncertainty")
    assert contents(target) == before
