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
import zarr
from predict import build_parser, main

from overtile.ingest.pictures import write_picture
from overtile.prediction.foreground import MARGIN_PX, SQUARE_PX
from overtile.prediction.resampled import Scaling, bring_back
from overtile.prediction.seams import seam_score
from overtile.readers.raw import RawImage
from overtile.stores.store import Store
from overtile.stores.subblocks import whole
from tests.contents import contents

ROOT = Path(__file__).resolve().parents[2]


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
    while process.poll() is None and not (journal.exists() and len(_lines(journal)) > 3):
        time.sleep(0.01)
    assert process.poll() is None, "the prediction ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (target / "zarr.json").exists()
    finished = _lines(journal)
    done("predict", *predict_flags(target))
    assert _lines(journal)[: len(finished)] == finished
    assert contents(target) == contents(probabilities)


def test_a_mask_lies_where_workers_see_it_and_nothing_of_it_stays_after_a_kill(
    predict_flags, probabilities, done, tmp_path
):
    tifffile.imwrite(tmp_path / "mask.tif", np.ones((220, 235), np.uint8))
    target = tmp_path / "predicted" / "p.ome.zarr"
    flags = predict_flags(target, "--mask", tmp_path / "mask.tif")
    command = [sys.executable, str(ROOT / "scripts" / "predict.py"), *map(str, flags)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    journal = target / "journal.jsonl"
    while process.poll() is None and not (journal.exists() and len(_lines(journal)) > 2):
        time.sleep(0.01)
    assert process.poll() is None, "the prediction ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    (left,) = set(target.parent.iterdir()) - {target}
    assert (left / "mask" / "zarr.json").exists()
    done("predict", *flags)
    assert set(target.parent.iterdir()) == {target}
    assert (Store.open(target).array[:] == Store.open(probabilities).array[:]).all()


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
    ("flags", "reach_px"),
    [
        (("--background", "otsu"), MARGIN_PX + 1),
        (("--background", "fill", "--fill-value", "230"), SQUARE_PX),
    ],
)
def test_background_costs_nothing_and_foreground_is_what_it_was(
    predicted, specimen, tmp_path, flags, reach_px
):
    slide, inside = specimen
    full = predicted(tmp_path / "full.ome.zarr", image=slide)
    store = predicted(tmp_path / "p.ome.zarr", *flags, image=slide)
    found, expected = pixels_of(store), pixels_of(full)
    left_out = (found == BACKGROUND).all(axis=0)
    assert left_out[:, : 140 - reach_px].all() and left_out[:, 340 + reach_px :].all()
    assert left_out[:, :, : 100 - reach_px].all() and left_out[:, :, 360 + reach_px :].all()
    changed = (found != expected).any(axis=0)
    assert not (changed & ~left_out).any()
    assert not changed[inside].mean() > 0.1  # what is as bright as the glass, inside the piece
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
    tifffile.imwrite(tmp_path / "narrow.tif", np.zeros((50, 200), np.uint8))
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((64, 64, 3), np.uint8), photometric="rgb")
    for name, words in {
        "narrow.tif": f"{tmp_path}/narrow.tif: mask is 50 x 200 (y, x) px, the slide 512 x 512",
        "large.tif": f"{tmp_path}/large.tif: mask is (1, 600, 512) (z, y, x) px, larger than",
        "rgb.tif": "rgb.tif: labels have 3 channels",
        "none.tif": f"{tmp_path}/none.tif: no such file",
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
        assert "trained on 0.5 x 0.5 to 0.6 x 0.6 um; set prediction.pixel_size" in lines[0]
        assert "to resample, or to ignore" in lines[0]
        assert not target.exists()
        assert here(*flags, "--pixel-size", "ignore") == 0
    assert (target / "zarr.json").exists()


def test_each_of_the_averaged_models_must_have_learnt_at_the_slides_pixel_size(
    here, of_half_a_micrometre, tmp_path, capsys
):
    other = tmp_path / "package"
    shutil.copytree(of_half_a_micrometre, other)
    plan = yaml.safe_load((other / "plan.yaml").read_text())
    for slide in plan["slides"]:
        slide["pixel_size_um"] = [1.0, 2.0, 2.0]
    (other / "plan.yaml").write_text(yaml.safe_dump(plan))
    pixels = np.arange(40 * 40, dtype=np.uint16).reshape(1, 1, 40, 40)
    slide, target = tmp_path / "s.ome.zarr", tmp_path / "p.ome.zarr"
    raw = RawImage(Path("s.tif"), pixels, (0, 1, 2, 3), None)
    write_picture(raw, slide, "k", (1.0, 0.5, 0.5), None)
    flags = ("--image", slide, "--probabilities", target)
    for models in ((of_half_a_micrometre, other), (other, of_half_a_micrometre)):
        for setting, words in {
            "refuse": "pixels are 0.5 x 0.5 um, the model was trained on 2 x 2 to 2 x 2 um",
            "resample": "average models of one pixel size",
        }.items():
            capsys.readouterr()
            assert here(*flags, "--model", *models, "--pixel-size", setting) == 1
            (line,) = capsys.readouterr().err.splitlines()
            assert words in line
            assert not target.exists()
    assert here(*flags, "--model", other, other, "--pixel-size", "resample") == 0


def test_a_gpu_without_memory_for_the_smallest_tile_is_told_of_in_one_line(
    here, planned, packaged, tmp_path, capsys, monkeypatch
):
    def full(network, pixels):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("overtile.networks.unet.layers.UNet.forward", full)
    flags = ("--image", planned / "a.ome.zarr", "--model", packaged / "package")
    capsys.readouterr()
    assert here(*flags, "--probabilities", tmp_path / "p.ome.zarr", "--block-px", 30) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(
        f"predict.py: {planned / 'a.ome.zarr'}: a tile of (4, 4) px does not fit"
    )
    assert line.endswith("end other programs, or use --device cpu")


def test_flags_for_slurm_may_be_given_one_by_one_and_a_fill_value_may_be_negative():
    least = ["--image", "a", "--model", "m", "--probabilities", "p"]
    flags = ["--slurm-flags=--partition=gpu", "--slurm-flags=--mem=9G", "--fill-value=-3.4e+38"]
    args = build_parser().parse_args([*least, *flags])
    assert args.slurm_flags == ["--partition=gpu", "--mem=9G"]
    assert args.fill_value == -3.4e38


MODEL_UM = (0.5 * 0.6 * 0.5) ** (1 / 3)
"""Geometric mean of the training slides' pixel edges, as changed above."""


@pytest.fixture(scope="module")
def enlarged(planned, tmp_path_factory) -> Path:
    """The EM slice with each pixel cut into 2 x 2, so that its pixels are half the model's."""
    pixels = np.kron(Store.open(planned / "a.ome.zarr").array[:], np.ones((1, 1, 2, 2), np.uint8))
    store = tmp_path_factory.mktemp("enlarged") / "s.ome.zarr"
    raw = RawImage(Path("s.tif"), pixels, (0, 1, 2, 3), None)
    write_picture(raw, store, "k", (1.0, MODEL_UM / 2, MODEL_UM / 2), None)
    return store


@pytest.fixture(scope="module")
def resampled(here, enlarged, of_half_a_micrometre):
    """Predict the enlarged slice at the model's pixel size, in tiles of 128 px or as told."""

    def run(target: Path, *more: object) -> Store:
        flags = ("--image", enlarged, "--model", of_half_a_micrometre, "--probabilities", target)
        tiles = () if "--block-px" in more else ("--block-px", 128)
        setting = () if "--pixel-size" in more else ("--pixel-size", "resample")
        assert here(*flags, *tiles, *setting, *more) == 0
        return Store.open(target)

    return run


@pytest.fixture(scope="module")
def plain_resampled(resampled, tmp_path_factory) -> Store:
    """The enlarged slice predicted without anything else."""
    return resampled(tmp_path_factory.mktemp("resampled") / "p.ome.zarr")


ENLARGED = Scaling((1, 1024, 1024), (1.0, 2.0, 2.0))


def test_a_slide_of_half_the_pixel_size_is_predicted_as_if_it_had_the_models(
    plain, plain_resampled
):
    store = plain_resampled
    expected = bring_back(plain.array[:], ENLARGED, whole(ENLARGED.slide_px), "probabilities")
    assert np.abs(pixels_of(store) - expected).max() <= 1
    assert store.shape == (1, 1024, 1024)
    told = store.attributes
    assert told["pixel_size_um"][1:] == [MODEL_UM / 2] * 2
    assert told["predicted_um"] == [1.0, *[pytest.approx(MODEL_UM, rel=1e-5)] * 2]
    assert plain.attributes["predicted_um"] is None
    for name in ("tiles", "tiles_computed"):
        assert told[name] == plain.attributes[name] == 16
    assert told["seams"]["score"] == pytest.approx(plain.attributes["seams"]["score"], abs=0.01)
    assert not (store.path / "work").exists()


def test_resampled_prediction_has_no_seams_at_borders_of_tiles_and_shards(plain_resampled):
    # Between two interpolated pixels of one interval steps are larger than across a pixel's centre.
    alike = [set(), set(range(2, 1024, 2)), set(range(2, 1024, 2))]
    borders = [set(), {256, 512, 768}, {256, 512, 768}]
    across, elsewhere = (
        seam_score(plain_resampled.array, which)["across"] for which in (borders, alike)
    )
    assert 0.9 < across / elsewhere < 1.1


def test_tiles_of_a_resampled_slide_change_no_probability_by_more_than_one_step(
    resampled, plain_resampled, tmp_path
):
    other = resampled(tmp_path / "p.ome.zarr", "--block-px", 60)
    assert other.attributes["tiles"] > 16
    assert np.abs(pixels_of(other) - pixels_of(plain_resampled)).max() <= 1


def test_classes_of_a_resampled_slide_are_those_of_the_nearest_pixel(
    predicted, resampled, tmp_path
):
    flags = ("--keep", "classes", "--uncertainty", "--test-time-augmentation", "flips")
    small = predicted(tmp_path / "small.ome.zarr", *flags)
    large = resampled(tmp_path / "large.ome.zarr", *flags)
    nearest = np.kron(pixels_of(small)[0], np.ones((1, 2, 2), int))
    assert (pixels_of(large)[0] != nearest).mean() < 1e-4  # a tie may fall either way
    spread = bring_back(small.array[:], ENLARGED, whole(ENLARGED.slide_px), "classes")[1]
    assert np.abs(pixels_of(large)[1] - spread).max() <= 1


def test_a_mask_over_a_resampled_slide_leaves_the_rest_as_it_was(
    resampled, plain_resampled, tmp_path
):
    pixels = np.zeros((1024, 1024), np.uint8)
    pixels[255:257, 300:700] = 1  # from the last row of one row of tiles to the first of the next
    pixels[900, 20] = 1
    tifffile.imwrite(tmp_path / "mask.tif", pixels)
    store = resampled(tmp_path / "p.ome.zarr", "--mask", tmp_path / "mask.tif")
    expected = np.where(pixels > 0, pixels_of(plain_resampled), BACKGROUND)
    assert np.abs(pixels_of(store) - expected).max() <= 1
    assert store.attributes["tiles"] == 16
    assert store.attributes["tiles_computed"] == 2 * 2 + 1


@pytest.mark.parametrize("keep", ["probabilities", "classes"])
def test_where_a_resampled_slide_is_not_looked_at_no_seam_is_found(
    resampled, plain_resampled, tmp_path, keep
):
    pixels = np.zeros((1024, 1024), np.uint8)
    pixels[300:800, 260:700] = 1
    tifffile.imwrite(tmp_path / "mask.tif", pixels)
    flags = ("--block-px", 60, "--keep", keep)
    store = resampled(tmp_path / "p.ome.zarr", "--mask", tmp_path / "mask.tif", *flags)
    whole_slide = resampled(tmp_path / "q.ome.zarr", *flags)
    assert store.attributes["tiles_computed"] < store.attributes["tiles"] / 2
    for made in (store, whole_slide):
        assert 0.7 < made.attributes["seams"]["score"] < 1.3


def test_settings_of_pixel_size_never_mix_and_finished_work_is_not_done_again(
    resampled, plain_resampled, tmp_path, monkeypatch
):
    folder = tmp_path / "p.ome.zarr"
    ignored = resampled(folder, "--pixel-size", "ignore")
    assert ignored.attributes["tiles"] == 64
    assert np.abs(pixels_of(ignored) - pixels_of(plain_resampled)).max() > 20
    (folder / "zarr.json").unlink()  # as after a kill
    resampled(folder)
    assert contents(folder) == contents(plain_resampled.path)

    def fail(*arguments):
        raise AssertionError("something finished was computed again")

    monkeypatch.setattr("overtile.prediction.slide.Prediction.seen_block", fail)
    monkeypatch.setattr("overtile.prediction.resampled.Resampled.statistics", fail)
    resampled(folder)
    assert contents(folder) == contents(plain_resampled.path)


def test_a_resampled_prediction_that_stops_amid_its_way_back_goes_on_from_there(
    resampled, plain_resampled, tmp_path, monkeypatch
):
    folder = tmp_path / "p.ome.zarr"

    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("overtile.prediction.slide.Prediction.block_from", stop)
        resampled(folder)
    assert (folder / "work").exists() and not (folder / "zarr.json").exists()
    monkeypatch.setattr("overtile.prediction.slide.Prediction.seen_block", stop)
    resampled(folder)
    assert contents(folder) == contents(plain_resampled.path)


def test_a_resampled_prediction_that_lost_a_shard_makes_it_again(
    resampled, plain_resampled, tmp_path
):
    folder = tmp_path / "p.ome.zarr"
    resampled(folder)
    (folder / "zarr.json").unlink()
    shard = next(path for path in (folder / "0" / "c").rglob("*") if path.is_file())
    shard.unlink()
    resampled(folder)
    assert contents(folder) == contents(plain_resampled.path)


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (None, ["s.ome.zarr: has no pixel size", "pixel_size_um in the sheet"]),
        ((1.0, 0.001, 0.001), ["pixels are 0.001 x 0.001 um", "check the unit"]),
    ],
)
def test_a_slide_that_cannot_be_resampled_is_one_line(
    here, of_half_a_micrometre, tmp_path, capsys, size, words
):
    raw = RawImage(Path("s.tif"), np.zeros((1, 1, 9, 9), np.uint8), (0, 1, 2, 3), None)
    write_picture(raw, tmp_path / "s.ome.zarr", "k", size, None)
    flags = ("--image", tmp_path / "s.ome.zarr", "--model", of_half_a_micrometre)
    capsys.readouterr()
    flags = (*flags, "--probabilities", tmp_path / "p", "--pixel-size", "resample")
    assert here(*flags) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert all(word in line for word in words), line
    assert not (tmp_path / "p").exists()


def _put_nan(store: Path) -> None:
    zarr.open_array(store / "0", mode="r+")[0, 0, 30, 31] = np.nan


def _lose_shard(store: Path) -> None:
    (store / "0" / "c" / "0" / "0" / "0" / "0").unlink()


def _cut_shard(store: Path) -> None:
    shard = store / "0" / "c" / "0" / "0" / "0" / "0"
    shard.write_bytes(shard.read_bytes()[:100])


def _lose_level(store: Path) -> None:
    shutil.rmtree(store / "0")


def _lose_root(store: Path) -> None:
    (store / "zarr.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_put_nan, "has NaN or infinite pixels near (z, y, x) = (0, 0, 0)"),
        (_lose_shard, "its file 0/c/0/0/0/0 is lost"),
        (_cut_shard, "has a damaged file"),
        (_lose_level, "its pyramid level 0 is missing"),
        (_lose_root, "no finished store here"),
    ],
)
@pytest.mark.parametrize("setting", ["ignore", "resample"])
def test_a_spoilt_store_is_one_line_and_nothing_is_said_to_be_finished(
    here, of_half_a_micrometre, tmp_path, capsys, spoil, words, setting
):
    slide = tmp_path / "s.ome.zarr"
    pixels = np.random.default_rng(0).normal(size=(1, 1, 50, 60)).astype(np.float32)
    raw = RawImage(Path("s.tif"), pixels, (0, 1, 2, 3), None)
    write_picture(raw, slide, "k", (1.0, MODEL_UM / 1.5, MODEL_UM / 1.5), None)
    spoil(slide)
    target = tmp_path / "p.ome.zarr"
    flags = ("--image", slide, "--model", of_half_a_micrometre, "--probabilities", target)
    capsys.readouterr()
    assert here(*flags, "--pixel-size", setting) == 1
    lines = [s for s in capsys.readouterr().err.splitlines() if s.startswith("predict.py: ")]
    assert len(lines) == 1
    assert f"{slide}: " in lines[0] and words in lines[0]
    assert not (target / "zarr.json").exists()


def test_little_memory_takes_longer_and_gives_the_same(predicted, plain, tmp_path):
    little = predicted(tmp_path / "little.ome.zarr", "--memory-gb", 0.705)
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

    monkeypatch.setattr("overtile.prediction.slide.Prediction.block", fail)
    predicted(target, "--uncertainty")
    assert contents(target) == before
