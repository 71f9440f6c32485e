"""Train: a true run, bytes after kill -9, and refusals."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch
import yaml

from overtile.planning.reading import read_plan
from overtile.provenance import read_runs
from overtile.training.checkpoint import read_checkpoint, save_checkpoint
from overtile.training.finished import keys_of
from overtile.training.samples import open_slides

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
    """Epochs in a checkpoint, which is replaced while this reads it."""
    try:
        name = json.loads((folder / "checkpoint.json").read_text())["file"]
        return len(torch.load(folder / name, weights_only=True)["history"])
    except FileNotFoundError:
        return 0


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in RESULTS}


@pytest.fixture
def fold(packaged, tmp_path) -> Path:
    """A copy of a finished fold."""
    return Path(shutil.copytree(packaged / "fold0", tmp_path / "fold0"))


def test_a_finished_training_is_not_done_again(fold, packaged, train_command, done):
    kept = [path for path in fold.iterdir() if path.name not in ("fold.json", "effort.json")]
    before = [os.stat(path).st_mtime_ns for path in kept]
    (fold / "fold.json").unlink()  # as Snakemake does
    result = done("train", *train_command(fold))
    assert "4/4 epochs were done already" in result.stderr
    assert [os.stat(path).st_mtime_ns for path in kept] == before
    assert bytes_of(fold) == bytes_of(packaged / "fold0")
    first, again = read_runs(fold)
    assert first["device"] == again["device"] == "cpu"
    assert first["trained"] and not again["trained"]


def test_changed_code_trains_a_finished_fold_again_only_where_that_is_asked_for(
    fold, packaged, train_command, step
):
    effort = json.loads((fold / "effort.json").read_text())
    (run,) = effort["runs"]
    state = read_checkpoint(fold)
    # As other code would have left it: its digest in the key, in the record and in the checkpoint.
    keys = keys_that_count(packaged, train_command, run)
    origin = replace(
        state.origin, key=keys("othercode", "cpu", run["precision"])[0], code="othercode"
    )
    save_checkpoint(fold, replace(state, origin=origin))
    effort["runs"] = [{**run, "key": origin.key, "code": "othercode"}]
    (fold / "effort.json").write_text(json.dumps(effort))
    assert "done already" in step("train", *train_command(fold)).stderr
    again = step("train", *train_command(fold), "--retrain-on-code-change")
    assert again.returncode == 0 and "done already" not in again.stderr
    assert bytes_of(fold) == bytes_of(packaged / "fold0")
    assert [one["code"] for one in read_runs(fold)] == [run["code"]]


def keys_that_count(packaged, train_command, run):
    """The keys of the fold, worked out again from the flags; the recorded one is among them."""
    flags = build_parser(train_command(packaged / "fold0"))
    slides = open_slides(flags.images, None, flags.weights)
    keys = keys_of(read_plan(flags.plan), 0, slides)
    assert run["key"] in keys(run["code"], run["device"], run["precision"])
    return keys


def build_parser(arguments):
    """The flags of train.py."""
    spec = spec_from_file_location("train", ROOT / "scripts" / "train.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build_parser().parse_args(list(map(str, arguments)))


@pytest.mark.parametrize("name", [*RESULTS, "effort.json", "checkpoint.json", "state"])
def test_a_damaged_file_of_a_finished_fold_is_written_again(
    name, fold, packaged, train_command, step
):
    if name == "state":
        name = next(path.name for path in fold.glob("checkpoint-*.pt"))
    content = (fold / name).read_bytes()
    middle = len(content) // 2
    (fold / name).write_bytes(
        content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    )
    result = step("train", *train_command(fold))
    assert result.returncode == 0, result.stderr
    assert bytes_of(fold) == bytes_of(packaged / "fold0")


def test_a_damaged_checkpoint_counts_as_none(packaged, train_command, step, tmp_path):
    folder = tmp_path / "fold0"
    folder.mkdir()
    (folder / "checkpoint.json").write_text('{"file": "checkpoint-0123456789abcdef.pt"}')
    result = step("train", *train_command(folder))
    assert "checkpoint.json: its checkpoint is damaged and not used" in result.stderr
    assert bytes_of(folder) == bytes_of(packaged / "fold0")


def test_a_gpu_that_is_not_there_is_an_error_at_once(step, train_command, tmp_path):
    hidden = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    result = step("train", *train_command(tmp_path / "fold0"), "--device", "cuda", env=hidden)
    assert result.returncode == 1
    assert "--device: cuda was asked for, but torch" in result.stderr


def test_a_fold_that_the_plan_does_not_have_is_refused(step, train_command, tmp_path):
    result = step("train", *train_command(tmp_path / "fold7"), "--fold", "7")
    assert result.returncode == 1
    assert "allowed: 0 to 0" in result.stderr


def test_a_plan_for_other_classes_channels_or_weights_than_the_slides_is_refused(
    train_command, step, tmp_path
):
    arguments = train_command(tmp_path / "fold0")
    place = arguments.index("--plan") + 1
    plan = yaml.safe_load(Path(arguments[place]).read_text())
    arguments[place] = tmp_path / "plan.yaml"
    turned = plan["classes"][::-1]
    two = {**plan["architecture"], "in_channels": 2}
    for changed, said in [
        ({"classes": turned}, f"the plan has {', '.join(turned)}; make the plan"),
        ({"architecture": two}, "the network of the plan takes 2; make the plan"),
        ({"weights": {**plan["weights"], "w0": 7}}, "was made with w0 10, the plan has 7; weigh"),
        ({"weights": {**plan["weights"], "class_weights": [1, 2]}}, "class_weights"),
    ]:
        arguments[place].write_text(yaml.safe_dump({**plan, **changed}))
        result = step("train", *arguments)
        assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
        assert said in result.stderr
