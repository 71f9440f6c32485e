"""Arrays of stores are read in one place, which checks them."""

import ast
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"

ALLOWED = {
    "overtile/stores/checked.py",  # reads, and checks
    "overtile/stores/writer.py",  # writes
    "overtile/readers/tiff.py",  # reads raw TIFF, which tifffile shows as zarr
}


def imports_zarr(source: str) -> bool:
    """Whether some code imports zarr, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = [ast.unparse(argument).strip("'") for argument in node.args]
        if any(name.split(".")[0] == "zarr" for name in names):
            return True
    return False


def test_nobody_else_imports_zarr():
    files = {path.relative_to(SCRIPTS).as_posix(): path for path in SCRIPTS.rglob("*.py")}
    assert len(files) > 100
    assert {name for name, path in files.items() if imports_zarr(path.read_text())} == ALLOWED


@pytest.mark.parametrize(
    "source",
    [
        "import zarr",
        "def f():\n    from zarr.storage import LocalStore",
        "import numpy, zarr.api as z",
        "importlib.import_module('zarr')",
    ],
)
def test_the_test_sees_every_way_to_import_it(source):
    assert imports_zarr(source)
