"""Predict: true runs, kills, and refusals."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

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
