"""Segment: objects over all shards, in all stages, after a kill, and refusals."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from overtile.objects.segmentation import write_segmentation
from overtile.settings.segmentation import Segmenting
from overtile.stores.ngff import multiscale_attributes
from overtile.stores.store import Store
from overtile.stores.writer import StoreWriter

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "segment.py"


def test_objects_are_the_components_of_the_class_map_over_all_shards(probabilities, done, tmp_path):
    target = tmp_path / "s.ome.zarr" / "labels" / "unet"
    done("segment", "--probabilities", probabilities, "--segmentation", target)
    store = Store.open(target)
    classes = store.label_classes().array[:]
    assert np.array_equal(classes, Store.open(probabilities).array[:].argmax(axis=0))
    expected, count = ndimage.label(classes)
    assert store.attributes["objects"] == count
    assert np.array_equal(store.array[:], expected)


STAGES = (
    *("--threshold", "0.4", "--seed-threshold", "0.75", "--min-seed-px", "5", "--grow-px", "6"),
    *("--max-hole-px", "30", "--border-px", "2", "--min-object-px", "20"),
)


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Probabilities of about 900 cells with holes, over six shards."""
    rng = np.random.default_rng(0)
    field = ndimage.gaussian_filter(rng.standard_normal((1, 1500, 2100)), (0, 9, 9))
    field -= ndimage.gaussian_filter(rng.standard_normal(field.shape), (0, 2, 2)) / 12
    foreground = np.rint(255 / (1 + np.exp(2 - 3 * field / field.std()))).astype(np.uint8)
    pixels = np.stack([255 - foreground, foreground])
    writer = StoreWriter(tmp_path_factory.mktemp("cells") / "p.ome.zarr", "k", "probabilities")
    writer.add_array("0", pixels.shape, np.uint8, "czyx")
    writer.fill("0", lambda block: (pixels[(slice(None), *block.slices)], {}), label="cells")
    ome = multiscale_attributes("p", "czyx", [(1, 1, 1)], None, is_label=False)
    names = ["background", "cell"]
    writer.commit(ome, pixel_size_um=None, class_names=names, scale=1 / 255)
    return writer.path


@pytest.fixture(scope="module")
def staged(cells, done, tmp_path_factory):
    """The cells, segmented in all stages in one go."""
    target = tmp_path_factory.mktemp("staged") / "s.ome.zarr" / "labels" / "unet"
    done("segment", "--probabilities", cells, "--segmentation", target, *STAGES)
    return Store.open(target)


def test_all_settings_of_the_command_line_reach_the_objects(staged, cells, tmp_path):
    how = Segmenting(0.4, 0.75, 5, 6, 30, 2, 20)
    write_segmentation(Store.open(cells), tmp_path / "labels" / "unet", "k", how)
    assert Store.open(tmp_path / "labels" / "unet").digest == staged.digest
    ids, classes = staged.array[:], staged.label_classes().array[:]
    np.testing.assert_array_equal(ids > 0, classes > 0)
    sizes = np.bincount(ids.ravel())[1:]
    assert len(sizes) == staged.attributes["objects"] > 500
    assert sizes.min() >= 20
    first = np.unique(ids[ids > 0], return_index=True)[1]
    assert (np.diff(first) > 0).all()
    assert staged.attributes["kind"] == "segmentation"


def test_each_setting_changes_the_objects(staged, cells, done, tmp_path):
    digests = {staged.digest}
    for place in range(0, len(STAGES), 2):
        flags = [*STAGES[:place], *STAGES[place + 2 :]]
        if STAGES[place] == "--grow-px":
            flags += ["--grow-px", "5"]
        target = tmp_path / STAGES[place] / "labels" / "unet"
        done("segment", "--probabilities", cells, "--segmentation", target, *flags)
        digests.add(Store.open(target).digest)
    assert len(digests) == 1 + len(STAGES) // 2


def test_stages_are_not_seen_by_viewers_and_leave_nothing(staged):
    folders = sorted(path.name for path in staged.path.iterdir() if path.is_dir())
    assert folders == [*map(str, range(staged.levels)), "classes"]
    assert "work" not in (staged.path.parent / "zarr.json").read_text()


def kill_amid(command, is_far_enough):
    """Start a command and kill it by SIGKILL as soon as it is far enough."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not is_far_enough() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    assert process.poll() is None, "it ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("stage", ["1", "3"])
def test_a_killed_process_goes_on_and_ends_with_the_same_bytes(
    staged, cells, done, tmp_path, stage
):
    target = tmp_path / "s.ome.zarr" / "labels" / "unet"
    flags = ("--probabilities", cells, "--segmentation", target, *STAGES)
    journal = target / "work" / "journal.jsonl"

    def is_far_enough():
        return journal.exists() and f'"{stage}/0.0.1"' in journal.read_text()

    kill_amid([sys.executable, str(SCRIPT), *map(str, flags)], is_far_enough)
    assert not (target / "zarr.json").exists()
    kept = {line for line in journal.read_text().splitlines() if f'"{stage}/' in line}
    assert kept
    done("segment", *flags)
    for name in ("zarr.json", "classes/zarr.json"):
        assert (target / name).read_bytes() == (staged.path / name).read_bytes()
    np.testing.assert_array_equal(Store.open(target).array[:], staged.array[:])
    assert not (target / "work").exists()


def test_a_picture_in_place_of_probabilities_is_refused(step, archive, tmp_path):
    target = tmp_path / "s.ome.zarr" / "labels" / "unet"
    picture = archive / "a.ome.zarr"
    result = step("segment", "--probabilities", picture, "--segmentation", target)
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert f"{picture}: holds picture; give a store that holds probabilities" in result.stderr
    assert not target.exists()


def test_a_lost_shard_of_probabilities_is_one_line_and_nothing_is_written(step, cells, tmp_path):
    spoilt = shutil.copytree(cells, tmp_path / "p.ome.zarr")
    (spoilt / "0" / "c" / "0" / "0" / "0" / "1").unlink()
    target = tmp_path / "s.ome.zarr" / "labels" / "unet"
    flags = ("--segmentation", target, "--threshold", "0.5")
    result = step("segment", "--probabilities", spoilt, *flags)
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert f"{spoilt}: its file 0/c/0/0/0/1 is lost" in result.stderr
    assert not target.exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("--threshold", "0.7", "--seed-threshold", "0.6"),
            "segment.py: --seed-threshold: is 0.6, but --threshold is 0.7; it must be above",
        ),
        (("--min-object-um", "3"), "has no pixel size, but the smallest object is set in micro"),
    ],
)
def test_settings_that_do_not_fit_are_one_line_and_exit_code_1(
    step, cells, tmp_path, flags, message
):
    target = tmp_path / "s.ome.zarr" / "labels" / "unet"
    result = step("segment", "--probabilities", cells, "--segmentation", target, *flags)
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert message in result.stderr
    assert not target.exists()


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--threshold", "1"),
        ("--seed-threshold", "0"),
        ("--min-seed-px", "-1"),
        ("--grow-px", "0"),
        ("--max-hole-px", "-1"),
        ("--border-px", "2.5"),
        ("--min-object-px", "-1"),
        ("--min-object-um", "0"),
    ],
)
def test_numbers_out_of_range_are_a_wrong_command_line(step, tmp_path, flag, value):
    flags = ("--probabilities", tmp_path / "p", "--segmentation", tmp_path / "s")
    result = step("segment", *flags, flag, value)
    assert result.returncode == 2
    assert f"argument {flag}" in result.stderr
