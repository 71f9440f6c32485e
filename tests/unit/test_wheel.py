"""`pip install .` gives the whole library; nothing is downloaded here."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "scripts" / "overtile"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with the files of the wheel, built from a copy of the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(LIBRARY, folder / "scripts" / "overtile", ignore=ignored)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command = [*pip, "--no-build-isolation", "--wheel-dir", folder, folder]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "installed")
    return folder / "installed"


def files_in(folder: Path) -> set[Path]:
    """Files below a folder, but for what Python compiled when they were imported."""
    files = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {path for path in files if "__pycache__" not in path.parts}


def test_the_wheel_holds_every_file_of_the_library(installed):
    assert files_in(installed / "overtile") == files_in(LIBRARY)


def test_it_is_imported_from_where_it_is_installed(installed):
    code = (
        f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        "import overtile.reporting.page as page; print(page.__file__)"
    )
    command = [sys.executable, "-I", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, cwd=installed)
    assert result.stdout.strip() == str(installed / "overtile" / "reporting" / "page.py")
