"""What all scripts have in common."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

STEPS = sorted(p.stem for p in (ROOT / "scripts").glob("*.py"))


@pytest.mark.parametrize("name", STEPS)
def test_help_answers_without_heavy_imports(name):
    code = (
        "import os, runpy, sys; sys.argv = [sys.argv[1], '--help']\n"
        "sys.path.insert(0, os.path.dirname(sys.argv[0]))\n"
        "try:\n    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'numpy', 'torch', 'numba', 'zarr', 'scipy', 'dask', 'matplotlib'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    script = ROOT / "scripts" / f"{name}.py"
    result = subprocess.run(
        [sys.executable, "-c", code, str(script)], capture_output=True, text=True, cwd="/"
    )
    assert result.returncode == 0, result.stderr
    assert "usage:" in result.stdout


@pytest.mark.parametrize("name", STEPS)
def test_a_wrong_command_line_ends_with_code_2(step, name):
    assert step(name, "--no-such-flag").returncode == 2


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ingest", ["--image", "no.tif", "--store", "s"]),
        ("separate", ["--labels", "no.zarr", "--separated", "s.zarr"]),
        ("plan", ["--images", "no.ome.zarr", "--settings", "no.yaml", "--plan", "p.yaml"]),
        ("weigh", ["--labels", "no.zarr", "--weights", "w.zarr"]),
        ("train", ["--plan", "no.yaml", "--images", "i", "--weights", "w", "--model", "m"]),
        ("package", ["--plan", "no.yaml", "--folds", "f", "--package", "p"]),
        ("predict", ["--image", "no.zarr", "--model", "m", "--probabilities", "p"]),
        ("segment", ["--probabilities", "no.zarr", "--segmentation", "s"]),
        ("export", ["--segmentation", "no.zarr", "--geojson", "o.geojson", "--tiff", "o.tif"]),
        ("view", ["--store", "no.ome.zarr"]),
        ("evaluate", ["--reference", "no", "--segmentation", "no", "--scores", "s.json"]),
    ],
)
def test_a_missing_file_is_one_line_with_its_name_and_exit_code_1(step, name, arguments, tmp_path):
    result = step(name, *arguments, cwd=tmp_path)
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert "no" in result.stderr
    assert result.stderr.startswith(f"{name}.py: ")
    assert list(tmp_path.iterdir()) == []
