"""`snakemake --resources gpu=N`: how many GPU jobs at once, and on which GPU each. Needs no GPU.

The true rules run; in place of `python` stands a program that chooses the device as the true steps
do, on a machine whose torch seems to see two GPUs.
"""

import json
import os
import shutil
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

PYTHON = f"""#!{sys.executable}
import json, os, sys, time
began = time.monotonic()
from pathlib import Path
sys.path.insert(0, {str(ROOT / "scripts")!r})
import torch
from overtile.networks import device
torch.cuda.is_available, torch.cuda.device_count = lambda: True, lambda: 2
torch.cuda.set_device = lambda number: None
device.gpu_names = lambda: ["GPU-a", "GPU-b"]
flags = dict(zip(sys.argv, sys.argv[1:]))
chosen = device.choose_device(flags["--device"], "fp32", 1)
claimed = time.monotonic()
notes = Path(os.environ["NOTES"])
(notes / f"{{os.getpid()}}.began").touch()
# Each waits until enough have begun: it would not end were they run one by one.
while len(list(notes.glob("*.began"))) < int(os.environ["AT_ONCE"]):
    time.sleep(0.01)
output = Path(flags.get("--probabilities") or flags["--model"] + "/fold.json")
output.parent.mkdir(parents=True, exist_ok=True)
output.write_text("{{}}")
seen = {{"step": Path(sys.argv[1]).stem, "gpus": chosen.gpus, "began": began}}
seen |= {{"claimed": claimed, "ended": time.monotonic()}}
(notes / f"{{os.getpid()}}.json").write_text(json.dumps(seen))
"""

GIVEN = (
    *(f"results/models/unet/{name}" for name in ("plan.yaml", "train.args", "package/plan.yaml")),
    *(f"results/slides/slide{n}.ome.zarr/zarr.json" for n in (1, 2, 3)),
    "results/targets/2d_2px/slide1.ome.zarr/zarr.json",
    "results/weights/unet/slide1.zarr/zarr.json",
)

WANTED = (
    "results/models/unet/fold0/fold.json",
    *(f"results/probabilities/unet/slide{n}.ome.zarr/zarr.json" for n in (1, 2, 3)),
)


@pytest.fixture
def run(make_project, tmp_path):
    """Run one training and three predictions; return what they saw."""
    interpreter = with_other_python(tmp_path / "environment", PYTHON)
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    rows = [(f"slide{n}", f"resources/demo/slide{n}.ome.tif", "", "", "") for n in (2, 3)]
    labelled = [f"resources/demo/slide1{end}.ome.tif" for end in ("", "_labels")]
    config["models"]["unet"]["separate_px"] = 2

    def snakemake(gpus: int, at_once: int, device: str = "auto") -> list[dict]:
        project = make_project(
            config | {"device": device}, [("slide1", *labelled, "train", ""), *rows]
        )
        for name in GIVEN:
            file = project.archive / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("{}")
        variables = {
            "OVERTILE_GPU_LOCKS": str(tmp_path / "locks"),
            "NOTES": str(tmp_path),
            "AT_ONCE": str(at_once),
        }
        command = [interpreter, "-m", "snakemake", *("--snakefile", project.root / "Snakefile")]
        command += ["--directory", project.archive, "--cores", "20", "--resources", f"gpu={gpus}"]
        command += ["--configfile", project.archive / "config.yaml"]
        command += ["--allowed-rules", "train_fold", "predict_probabilities", "--", *WANTED]
        result = subprocess.run(
            command, env=os.environ | variables, capture_output=True, text=True, timeout=180
        )
        assert result.returncode == 0, result.stderr
        jobs = [json.loads(file.read_text()) for file in tmp_path.glob("*.json")]
        assert sorted(job["step"] for job in jobs) == ["predict", "predict", "predict", "train"]
        return jobs

    return snakemake


def with_other_python(folder: Path, text: str) -> Path:
    """An environment like this one, but with a program called python; returns its interpreter.

    Rules run the Python that lies beside the one that runs Snakemake.
    """
    programs = folder / "bin"
    programs.mkdir(parents=True)
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", folder)
    (folder / "lib").symlink_to(Path(sys.prefix) / "lib")
    (programs / "interpreter").symlink_to(Path(sys.executable).resolve())
    (programs / "python").write_text(text)
    (programs / "python").chmod(0o755)
    return programs / "interpreter"


def overlapping(jobs: list[dict], start: str) -> list[tuple[dict, dict]]:
    """Pairs of jobs of which one reached `start` before the other ended, and the other way."""
    return [
        (a, b) for a, b in combinations(jobs, 2) if a[start] < b["ended"] and b[start] < a["ended"]
    ]


def test_one_gpu_never_has_two_jobs_at_once(run):
    jobs = run(gpus=1, at_once=1)
    assert overlapping(jobs, "began") == []
    assert [job["gpus"] for job in jobs] == [[0]] * 4


def test_two_gpus_have_two_jobs_at_once_each_on_its_own(run):
    pairs = overlapping(run(gpus=2, at_once=2), "claimed")
    assert pairs
    assert all(sorted(a["gpus"] + b["gpus"]) == [0, 1] for a, b in pairs)


def test_a_gpu_that_snakemake_gives_away_twice_has_one_job_at_a_time_all_the_same(run):
    jobs = run(gpus=4, at_once=2)
    assert len(overlapping(jobs, "began")) > len(overlapping(jobs, "claimed"))
    assert all(a["gpus"] != b["gpus"] for a, b in overlapping(jobs, "claimed"))


def test_networks_on_the_processor_wait_for_no_gpu(run):
    jobs = run(gpus=1, at_once=2, device="cpu")
    assert [job["gpus"] for job in jobs] == [[]] * 4
