"""Steps start fast: what takes long to import is not there when the first input is read.

How long that takes is measured by benchmarks/startup.py, on an idle machine.
"""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GIVEN = runpy.run_path(str(ROOT / "benchmarks" / "startup.py"))["GIVEN"]

SLOW = {"torch", "matplotlib.axes", "scipy.stats", "scipy.interpolate", "skimage", "distributed"}

NEEDED = {
    "predict": {"torch"},
    "train": {"torch", "scipy.interpolate"},
}

SEEN = """
import atexit, runpy, sys
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
atexit.register(lambda: print("imported:", *sys.modules))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_every_step_is_measured():
    assert sorted(GIVEN) == sorted(file.stem for file in (ROOT / "scripts").glob("*.py"))


@pytest.mark.parametrize("name", sorted(GIVEN))
def test_a_step_has_imported_nothing_slow_before_its_first_input(name, tmp_path):
    script = ROOT / "scripts" / f"{name}.py"
    command = [sys.executable, "-c", SEEN, script, *GIVEN[name].split()]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 1, result.stderr
    assert len(result.stderr.splitlines()) == 1
    imported = set(result.stdout.split("imported:")[1].split())
    assert imported & SLOW <= NEEDED.get(name, set())
    assert list(tmp_path.iterdir()) == []
