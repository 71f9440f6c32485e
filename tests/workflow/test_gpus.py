"""`snakemake --resources gpu=N`: how many GPU jobs at once, and on which GPU each. Needs no GPU."""

import json
import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

WORKFLOW = """
rule all:
    input: expand("done/{{job}}.json", job=range(4))

rule job:
    output: "done/{{job}}.json"
    resources: gpu=1
    shell: "{python} job.py {{output}}"
"""

JOB = """
import json, os, sys, time
began = time.monotonic()
from pathlib import Path
from overtile.networks.gpus import claim
gpu, = claim(["GPU-a", "GPU-b"])
claimed = time.monotonic()
Path(f"began-{os.getpid()}").touch()
# With gpu=2 each job waits until two have begun: it would not end were they run one by one.
while len(list(Path().glob("began-*"))) < int(os.environ["AT_ONCE"]):
    time.sleep(0.01)
seen = {"gpu": gpu, "began": began, "claimed": claimed, "ended": time.monotonic()}
Path(sys.argv[1]).write_text(json.dumps(seen))
"""


@pytest.fixture
def run(tmp_path):
    """Run four jobs that take a GPU each; return what they saw."""

    def snakemake(gpus: int) -> list[dict]:
        (tmp_path / "Snakefile").write_text(WORKFLOW.format(python=sys.executable))
        (tmp_path / "job.py").write_text(JOB)
        variables = {
            "PYTHONPATH": str(ROOT / "scripts"),
            "OVERTILE_GPU_LOCKS": str(tmp_path / "locks"),
            "AT_ONCE": str(gpus),
        }
        result = subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "8", "--resources", f"gpu={gpus}"],
            cwd=tmp_path,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert result.returncode == 0, result.stderr
        return [json.loads(file.read_text()) for file in (tmp_path / "done").glob("*.json")]

    return snakemake


def overlapping(jobs: list[dict], start: str) -> list[tuple[dict, dict]]:
    """Pairs of jobs of which one reached `start` before the other ended, and the other way."""
    return [
        (a, b) for a, b in combinations(jobs, 2) if a[start] < b["ended"] and b[start] < a["ended"]
    ]


def test_one_gpu_never_has_two_jobs_at_once(run):
    jobs = run(gpus=1)
    assert len(jobs) == 4
    assert overlapping(jobs, "began") == []
    assert [job["gpu"] for job in jobs] == [0, 0, 0, 0]


def test_two_gpus_have_two_jobs_at_once_each_on_its_own(run):
    pairs = overlapping(run(gpus=2), "claimed")
    assert pairs
    assert all(a["gpu"] != b["gpu"] for a, b in pairs)
