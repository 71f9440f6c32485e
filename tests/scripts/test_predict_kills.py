"""A prediction survives kills and full disks, and never mixes with what other settings made."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import predict
import psutil
import pytest
import tifffile
import torch
from safetensors.torch import load_file, save_file

from overtile.networks.device import Device
from overtile.prediction.memory import BLOCKS_AT_ONCE
from overtile.provenance import read_runs
from overtile.stores.digest import digest_file
from tests.contents import contents

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"

SMALL_SHARDS = f"""\
import os, sys
sys.path.insert(0, {str(SCRIPTS)!r})
from overtile.prediction.slide import Prediction
from overtile.stores import layout
import predict

layout.PICTURE_CHUNK, layout.PICTURE_SHARD = (1, 64, 64), (1, 64, 64)
compute = Prediction.block

def noted(self, block):
    log = os.open(os.environ["BEGUN"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(log, ("0/" + ".".join(map(str, block.index)) + "\\n").encode())
    os.close(log)
    return compute(self, block)

Prediction.block = noted
if __name__ == "__main__":
    sys.exit(predict.main())
"""
"""predict.py with shards of some 128 px, which notes each block that any process begins."""


@pytest.fixture(scope="module")
def start(predict_flags, tmp_path_factory):
    """Start the prediction of the wide slide; what it begins is noted in a file."""
    script = tmp_path_factory.mktemp("small") / "small_shards.py"
    script.write_text(SMALL_SHARDS)

    def run(target: Path, begun: Path, *more: object) -> subprocess.Popen:
        command = [sys.executable, str(script), *map(str, predict_flags(target, *more))]
        environment = {**os.environ, "BEGUN": str(begun)}
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)

    return run


@pytest.fixture(scope="module")
def undisturbed(start, tmp_path_factory) -> Path:
    """The slide predicted in one go by one process."""
    folder = tmp_path_factory.mktemp("undisturbed")
    process = start(folder / "p.ome.zarr", folder / "begun")
    assert len(process.communicate()[1].splitlines()) <= 2  # where the network runs, and how far
    assert process.returncode == 0
    return folder / "p.ome.zarr"


def lines(path: Path) -> list[str]:
    """The whole lines of a file that may not be there yet."""
    text = path.read_text() if path.exists() else ""
    return [line for line in text.splitlines(keepends=True) if line.endswith("\n")]


def finished(store: Path) -> list[str]:
    entries = map(json.loads, lines(store / "journal.jsonl"))
    return [entry["block"] for entry in entries if "block" in entry]


def shard_times(store: Path, blocks: list[str]) -> dict[str, int]:
    """When the shard of each block was written, in nanoseconds."""
    files = {block: "0/c/0/" + block.removeprefix("0/").replace(".", "/") for block in blocks}
    return {block: (store / file).stat().st_mtime_ns for block, file in files.items()}


def await_that(condition, process: subprocess.Popen | None = None) -> None:
    """Wait until something is so; fail after two minutes, or if a process ends before it."""
    until = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < until, "it took too long"
        assert process is None or process.poll() is None, process.stderr.read()
        time.sleep(0.001)


def kill(process: subprocess.Popen) -> None:
    """Kill a prediction as nothing can prevent; all that it started must end by itself."""
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    psutil.wait_procs(workers, timeout=60)
    assert not [worker for worker in workers if worker.is_running()], "a worker outlived its parent"


@pytest.mark.parametrize(
    ("flags", "kills", "at_once"),
    [
        pytest.param((), 10, BLOCKS_AT_ONCE, marks=pytest.mark.long),
        (("--workers", 2), 3, 2),
    ],
    ids=["threads", "processes"],
)
def test_kills_at_random_moments_cost_less_than_a_shard_per_worker_each_and_no_byte(
    start, undisturbed, tmp_path, flags, kills, at_once
):
    rng = random.Random(3)
    target, begun = tmp_path / "p.ome.zarr", tmp_path / "begun"
    times = {}
    for _ in range(kills):
        before, begun_before = finished(target), len(lines(begun))
        process = start(target, begun, *flags)
        at_least = len(before) + rng.randrange(1, 8)
        await_that(lambda n=at_least: len(finished(target)) >= n, process)
        time.sleep(rng.uniform(0, 0.02))
        kill(process)
        after, begun_now = finished(target), lines(begun)[begun_before:]
        assert after[: len(before)] == before
        assert not {block.strip() for block in begun_now} & set(before)
        assert len(begun_now) - (len(after) - len(before)) <= at_once
        times |= shard_times(target, after[len(before) :])
        assert not (target / "zarr.json").exists()
    process = start(target, begun, *flags)
    await_that(lambda: len(finished(target)) > len(times), process)
    workers = psutil.Process(process.pid).children(recursive=True)
    error = process.communicate()[1]
    assert process.returncode == 0, error
    assert "distributed" not in error
    assert not psutil.wait_procs(workers, timeout=60)[1]
    assert shard_times(target, list(times)) == times
    assert contents(target) == contents(undisturbed)
    blocks = finished(target)
    assert len(set(blocks)) == len(blocks) == len(finished(undisturbed)) > 100
    assert len(lines(begun)) <= len(blocks) + kills * at_once


@pytest.fixture
def killed(start, tmp_path) -> Path:
    """What a prediction leaves that was killed after its first block."""
    target = tmp_path / "p.ome.zarr"
    process = start(target, tmp_path / "begun")
    await_that(lambda: finished(target), process)
    kill(process)
    assert read_runs(target) == []
    return target


@pytest.mark.long
def test_a_run_that_was_killed_is_known_with_the_one_that_went_on(killed, start, tmp_path):
    (begun,) = json.loads((killed / "effort.json").read_text())["runs"]
    assert {"torch", "zarr"} <= set(begun["versions"]) and len(begun["code"]) == 16
    assert start(killed, tmp_path / "begun").wait() == 0
    first, second = read_runs(killed)
    assert first == begun | {"content": second["content"]} and "ended" not in first
    assert first["started"] < second["started"] < second["ended"]


@pytest.mark.long
def test_a_run_that_was_killed_is_forgotten_where_another_begins_anew(killed, start, tmp_path):
    assert start(killed, tmp_path / "begun", "--keep", "classes").wait() == 0
    (run,) = read_runs(killed)
    assert "--keep classes" in run["command"] and "ended" in run


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB, and how to make it larger; only where one may mount."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        return subprocess.run(command, capture_output=True).returncode == 0

    if not shutil.which("mount") or not mount("size=1m"):
        pytest.skip("no file system may be mounted here; tests of the writer feign a full disk")
    yield folder, lambda: mount("remount,size=64m")
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.long
def test_a_full_disk_is_one_line_and_what_was_finished_is_not_computed_again(
    start, undisturbed, small_disk, tmp_path
):
    disk, enlarge = small_disk
    target, begun = disk / "p.ome.zarr", tmp_path / "begun"
    process = start(target, begun)
    where, *error = process.communicate()[1].splitlines()
    assert process.returncode == 1
    assert where.startswith("network: on the processor")
    assert len(error) == 1, error
    assert error[0].startswith(f"predict.py: {target}: no space left on device, 0.0 MB left")
    assert "free space, then run again" in error[0]
    assert not (target / "zarr.json").exists()
    kept = set(finished(target))
    times = shard_times(target, list(kept))
    assert kept
    assert enlarge()
    begun.unlink()
    process = start(target, begun)
    process.communicate()
    assert process.returncode == 0
    assert sorted(map(str.strip, lines(begun))) == sorted(set(finished(target)) - kept)
    assert shard_times(target, list(times)) == times
    assert contents(target) == contents(undisturbed)


@pytest.fixture(scope="module")
def key_of(planned, packaged):
    """The key under which a prediction with some flags keeps its journal; nothing is predicted."""
    threads = torch.get_num_threads()

    def find(monkeypatch, *flags: object, image=planned / "a.ome.zarr", model=None) -> str:
        keys = []

        def note(prediction, folder, key, client=None, **attributes):
            keys.append(key)

        monkeypatch.setattr("overtile.prediction.slide.write_prediction", note)
        where = ("--image", image, "--model", model or packaged / "package")
        fixed = ("--probabilities", "nowhere.ome.zarr", "--device", "cpu", "--threads", 1)
        assert predict.main([*map(str, (*where, *fixed, *flags))]) == 0
        return keys[0]

    yield find
    torch.set_num_threads(threads)


def masks(folder: Path) -> list[Path]:
    """Two masks that differ in one pixel."""
    files = [folder / "one.tif", folder / "two.tif"]
    for number, file in enumerate(files):
        pixels = np.ones((64, 64), np.uint8)
        pixels[0, 0] = number
        tifffile.imwrite(file, pixels)
    return files


def test_picture_model_each_setting_arithmetic_and_code_make_another_key(
    key_of, planned, packaged, monkeypatch, tmp_path
):
    fp32 = ("--precision", "fp32", "--block-px", 128)
    one, two = masks(tmp_path)
    variants = {
        "as it is": ((), {}),
        "other picture": ((), {"image": planned / "b.ome.zarr"}),
        "classes": (("--keep", "classes"), {}),
        "uncertainty": (("--uncertainty",), {}),
        "flips": (("--test-time-augmentation", "flips"), {}),
        "turns": (("--test-time-augmentation", "flips_and_turns"), {}),
        "otsu": (("--background", "otsu"), {}),
        "triangle": (("--background", "triangle"), {}),
        "fill": (("--background", "fill"), {}),
        "other fill": (("--background", "fill", "--fill-value", 7), {}),
        "mask": (("--mask", one), {}),
        "other mask": (("--mask", two), {}),
        "other tiles": (("--block-px", 200), {}),
        "other arithmetic": (("--precision", "bf16"), {}),
        "model twice": (("--model", packaged / "package", packaged / "package"), {}),
    }
    keys = {
        name: key_of(monkeypatch, *fp32, *flags, **where)
        for name, (flags, where) in variants.items()
    }
    monkeypatch.setattr("overtile.code_digest.code_digest", lambda script, chosen=(): "another")
    keys["other code"] = key_of(monkeypatch, *fp32)
    monkeypatch.undo()
    of_gpu = Device(torch.device("cuda"), "fp32", 1)
    monkeypatch.setattr(Device, "here", lambda self: Device(torch.device("cpu"), "fp32", 1))
    monkeypatch.setattr("overtile.networks.device.choose_device", lambda *settings: of_gpu)
    keys["on a GPU"] = key_of(monkeypatch, *fp32)
    assert len(set(keys.values())) == len(keys), keys
    monkeypatch.undo()
    assert key_of(monkeypatch, *fp32) == keys["as it is"]
    # What has no part in the result makes no other key.
    assert key_of(monkeypatch, *fp32, "--fill-value", 7) == keys["as it is"]
    assert key_of(monkeypatch, *fp32, "--mask", one, "--background", "otsu") == keys["mask"]


def test_other_weights_make_another_key_and_the_same_ones_elsewhere_do_not(
    key_of, packaged, monkeypatch, tmp_path
):
    model = tmp_path / "package"
    shutil.copytree(packaged / "package", model)
    expected = key_of(monkeypatch)
    assert key_of(monkeypatch, model=model) == expected
    other = tmp_path / "other"
    shutil.copytree(model, other)
    weights = load_file(model / "fold0.safetensors")
    first = next(value for _, value in sorted(weights.items()) if value.is_floating_point())
    first.view(-1)[0] += 1e-3
    save_file(weights, other / "fold0.safetensors")
    sums = [digest_file(folder / "fold0.safetensors") for folder in (model, other)]
    text = (other / "plan.yaml").read_text()
    assert sums[0] in text
    (other / "plan.yaml").write_text(text.replace(*sums))
    assert key_of(monkeypatch, model=other) != expected
