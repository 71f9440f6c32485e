"""Where tests find real pictures, how they run a step, and what they share."""

import os
import pkgutil
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

import tests.examples  # noqa: F401 - profiles of Hypothesis, before it looks for one
from tests.warm import Warm

ROOT = Path(__file__).resolve().parents[1]
IS_OUR_CI = bool(os.environ.get("OVERTILE_CI"))
"""Set by .ci/run: there all that tests need is there, and nothing is skipped."""


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of real, labelled pictures: the variable OVERTILE_DATA, or ../shared/data."""
    folder = Path(os.environ.get("OVERTILE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        reason = f"no folder of real pictures at {folder}; set OVERTILE_DATA"
        if IS_OUR_CI:
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def warm_steps() -> Iterator[Warm]:
    """Processes that have imported the library already."""
    import overtile

    modules = pkgutil.walk_packages(overtile.__path__, "overtile.")
    late = ("distributed", "scipy.interpolate", "scipy.stats", "skimage.filters")
    with Warm(*late, *(module.name for module in modules)) as python:
        yield python


@pytest.fixture(scope="session")
def step(warm_steps):
    """Run a script as a user would: step("ingest", "--image", ...) gives the finished process.

    With options of `subprocess.run` other than `cwd`, in a process of its own.
    """

    def run(name: str, *arguments: object, **options) -> subprocess.CompletedProcess:
        words = [ROOT / "scripts" / f"{name}.py", *arguments]
        if options.keys() <= {"cwd"}:
            return warm_steps.run(words, **options)
        command = [sys.executable, *map(str, words)]
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
def done_cold(step):
    """Like `done`, in a process of its own: it has another order of sets than warm ones."""

    def run(name: str, *arguments: object) -> subprocess.CompletedProcess:
        result = step(name, *arguments, env=os.environ | {"PYTHONHASHSEED": "random"})
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
        if IS_OUR_CI:
            pytest.fail(reason)
        pytest.skip(reason)

    def run(folder: Path) -> subprocess.CompletedProcess:
        command = [python, str(ROOT / "tests" / "crates.py"), str(folder)]
        return subprocess.run(command, capture_output=True, text=True)

    return run


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Make a folder once for all workers: made_once(name, make) calls make(folder) if need be."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def folder_of(name: str, make) -> Path:
        folder, done = base / "made" / name, base / "made" / f"{name}.done"
        folder.parent.mkdir(exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return folder_of


def pytest_addoption(parser) -> None:
    parser.addoption(
        "--reversed", action="store_true", help="the last test of a file first: none needs another"
    )


def pytest_collection_modifyitems(config, items: list[pytest.Item]) -> None:
    """Whatever needs a cluster takes long; and the order of tests is of no account."""
    for item in items:
        if item.nodeid.startswith("tests/slurm/"):
            item.add_marker(pytest.mark.long)
    if config.getoption("reversed"):
        places = {item.path: place for place, item in enumerate(items)}
        items.reverse()
        items.sort(key=lambda item: places[item.path])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """One process for all files of tests/slurm: only one cluster at a time can run on a machine."""
    from xdist.scheduler import LoadFileScheduling

    class OneCluster(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return "slurm" if nodeid.startswith("tests/slurm/") else super()._split_scope(nodeid)

    return OneCluster(config, log)
