"""Train: a true run, bytes after kill -9, and refusals."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from overtile.provenance import read_runs

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ("fold.json", "history.tsv", "best.safetensors", "last.safetensors")


def test_a_learning_curve_falls_and_best_is_its_best_epoch(packaged):
    rows = (packaged / "fold0" / "history.tsv").read_text().splitlines()
    header, *values = [row.split("\t") for row in rows]
    losses = [float(v[header.index("loss")]) for v in values]
    dice = [float(v[header.index("validation_dice")]) for v in values]
    done = json.loads((packaged / "fold0" / "fold.json").read_text())
    assert losses[-1] < losses[0]
    assert done["best"]["validation_dice"] == max(dice)


def test_a_training_killed_and_run_again_gives_the_bytes_of_an_undisturbed_one(
    packaged, train_command, done, tmp_path
):
    folder = tmp_path / "fold0"
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), *map(str, train_command(folder))]
    kills = 0
    for epochs in (1, 2):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while process.poll() is None and _epochs(folder) < epochs:
            time.sleep(0.02)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        assert not (folder / "fold.json").exists()
    assert kills == 2
    done("train", *train_command(folder))
    *killed, last = read_runs(folder)
    assert ["ended" in run for run in killed] == [False, False] and "ended" in last
    assert all(run["versions"]["torch"] == torch.__version__ for run in killed)
    for name in RESULTS:
        assert (folder / name).read_bytes() == (packaged / "fold0" / name).read_bytes(), name


def test_without_room_for_a_checkpoint_training_ends_with_one_line(step, train_command, tmp_path):
    def let_files_be_small():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))

    result = step("train", *train_command(tmp_path / "fold0"), preexec_fn=let_files_be_small)
    assert result.returncode == 1
    line = result.stderr.splitlines()[-1]
    assert line.startswith(f"train.py: {tmp_path / 'fold0'}: file too large, "), result.stderr
    assert "Traceback" not in result.stderr
    assert {path.name for path in (tmp_path / "fold0").iterdir()} <= {"effort.json"}


def _epochs(folder: Path) -> int:
    """Epochs in a checkpoint, which is replaced atomically."""
    try:
        return len(torch.load(folder / "checkpoint.pt", weights_only=True)["history"])
    except FileNotFoundError:
        return 0


def test_a_finished_training_is_not_done_again(packaged, train_command, done, tmp_path):
    folder = packaged / "fold0"
    before = os.stat(folder / "checkpoint.pt").st_mtime_ns
    done("train", *train_command(folder))
    assert os.stat(folder / "checkpoint.pt").st_mtime_ns == before


def test_a_damaged_checkpoint_counts_as_none(packaged, train_command, done, tmp_path):
    folder = tmp_path / "fold0"
    folder.mkdir()
    (folder / "checkpoint.pt").write_bytes(b"half a file")
    done("train", *train_command(folder))
    assert (folder / "fold.json").read_bytes() == (packaged / "fold0" / "fold.json").read_bytes()


def test_a_gpu_that_is_not_there_is_an_error_at_once(step, train_command, tmp_path):
    if torch.cuda.is_available():
        return
    result = step("train", *train_command(tmp_path / "fold0"), "--device", "cuda")
    assert result.returncode == 1
    assert "--device: cuda was asked for, but torch" in result.stderr


def test_a_fold_that_the_plan_does_not_have_is_refused(step, train_command, tmp_path):
    result = step("train", *train_command(tmp_path / "fold7"), "--fold", "7")
    assert result.returncode == 1
    assert "allowed: 0 to 0" in result.stderr
