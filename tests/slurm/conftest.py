"""A cluster for the tests of this folder, and how they run Snakemake on it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import IS_OUR_CI
from tests.scripts.conftest import (  # noqa: F401 - fixtures, as the next ones
    archive,
    packaged,
    planned,
    predict_flags,
    probabilities,
    train_command,
    wide,
)
from tests.slurm.cluster import Cluster, missing_programs, running_cluster
from tests.workflow.conftest import environment, make_project  # noqa: F401 - a fixture

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory) -> Cluster:
    """Two nodes with one GPU slot each, of this file alone: it may end jobs and nodes."""
    missing = missing_programs()
    reason = f"no SLURM here: {', '.join(missing)} not found; apt-get install slurm-wlm"
    if not missing and os.geteuid() != 0:
        missing, reason = ["root"], "SLURM's daemons are started as root; run as root"
    if missing and IS_OUR_CI:
        pytest.fail(reason)
    if missing:
        pytest.skip(reason)
    with running_cluster(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


def on_slurm(snakefile: Path, folder: Path, *flags: str, profile: Path | None = None) -> list[str]:
    """A snakemake call with the profile as it is shipped, but for waits that suit tests."""
    profile = profile or ROOT / "workflow" / "profiles" / "slurm"
    return [
        *(sys.executable, str(ROOT / "tests" / "slurm" / "asking_often.py")),
        *("--workflow-profile", str(profile), "--latency-wait", "5"),
        *("--snakefile", str(snakefile), "--directory", str(folder), *flags),
    ]


def start(command: list[str], log: Path) -> subprocess.Popen:
    """Start a command, elsewhere than in its folder; what it prints goes to a file."""
    with open(log, "a") as file:
        return subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, env=environment(), cwd=log.parent.parent
        )


def finish(process: subprocess.Popen, log: Path, seconds: float) -> str:
    """Wait for a command that must succeed; return what it printed."""
    code = process.wait(timeout=seconds)
    text = log.read_text()
    assert code == 0, text[-20000:]
    return text
