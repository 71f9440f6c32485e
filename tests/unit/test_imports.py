"""What the project imports from itself is there, also late and by name."""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.imports import imports

ROOT = Path(__file__).resolve().parents[2]
HOMES = {
    "overtile": ROOT / "scripts",
    "overtile_workflow": ROOT / "workflow" / "lib",
    "tests": ROOT,
}
"""Packages of the project, and the folder that each lies in."""

FILES = sorted(
    path.relative_to(ROOT)
    for folder in ("scripts", "workflow", "tests", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)


@cache
def names_of(module: str) -> frozenset[str] | None:
    """Names at the top level of a module, with its submodules; None if there is no such module."""
    base = HOMES[module.split(".")[0]].joinpath(*module.split("."))
    own = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    names = {path.stem for path in base.iterdir()} if base.is_dir() else set()
    if not own.is_file():
        return frozenset(names) or None
    for node in ast.walk(ast.parse(own.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name for alias in node.names}
    return frozenset(names)


@pytest.mark.parametrize("file", FILES, ids=str)
def test_what_a_file_imports_from_the_project_is_there(file):
    missing = []
    for name in imports(ROOT / file):
        parent, _, last = name.rpartition(".")
        if parent.split(".")[0] in HOMES and last not in (names_of(parent) or ()):
            missing.append(name)
    assert missing == []
