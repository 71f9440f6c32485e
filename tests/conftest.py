"""Where tests find real pictures, and how they run a step."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of real, labelled pictures: the variable OVERTILE_DATA, or ../shared/data."""
    folder = Path(os.environ.get("OVERTILE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        reason = f"no folder of real pictures at {folder}; set OVERTILE_DATA"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def step():
    """Run a script as a user would: step("ingest", "--image", ...) gives the finished process."""

    def run(name: str, *arguments: object, **options) -> subprocess.CompletedProcess:
        command = [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, **options)

    return run


@pytest.fixture(scope="session")
def done(step):
    """Like `step`, for runs that must succeed."""

    def run(name: str, *arguments: object) -> subprocess.CompletedProcess:
        result = step(name, *arguments)
        assert result.returncode == 0, result.stderr
        return result

    return run


@pytest.fixture(scope="session")
def validate():
    """Run the official validator on the crate in a folder: `make test` makes its environment."""
    default = ROOT / ".venv" / "checks" / "bin" / "python"
    python = os.environ.get("OVERTILE_CHECKS", str(default))
    if not Path(python).exists():
        reason = f"no validator at {python}; run `make test` once"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)

    def run(folder: Path) -> subprocess.CompletedProcess:
        command = [python, str(ROOT / "tests" / "crates.py"), str(folder)]
        return subprocess.run(command, capture_output=True, text=True)

    return run


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """One process for all files of tests/slurm: only one cluster at a time can run on a machine."""
    from xdist.scheduler import LoadFileScheduling

    class OneCluster(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return "slurm" if nodeid.startswith("tests/slurm/") else super()._split_scope(nodeid)

    return OneCluster(config, log)
