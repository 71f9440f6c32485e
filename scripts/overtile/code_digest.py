"""A digest of what a script computes: of its code and that of the library modules it imports.

Standard library only: the workflow reads this one file while it builds its rules.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = "overtile"
# Command lines, progress, provenance and this file decide how a computation is asked for and
# watched, the search for a GPU where it runs, not what comes out: a change in them reruns nothing.
LEFT_OUT = frozenset(
    f"{PACKAGE}.{name}"
    for name in (
        *("cli", "progress", "provenance", "stores.effort", "code_digest"),
        *("networks.gpus", "networks.sight"),
    )
)


def code_digest(script: str | Path) -> str:
    """Digest of a script and, through its imports, of every library module it can reach.

    Taken over the syntax tree without docstrings: a comment, a docstring or a line break changes
    nothing. The library is the folder `overtile` beside the script.
    """
    library = Path(script).parent
    sha = hashlib.sha256()
    for file in sorted(files_run(script, LEFT_OUT)):
        sha.update(f"{file.relative_to(library).as_posix()}\n{_meaning(file)}\n".encode())
    return sha.hexdigest()[:16]


def files_run(script: str | Path, left_out: frozenset[str] = frozenset()) -> set[Path]:
    """The script and, through its imports, every library file it can reach.

    left_out: modules that are not followed.
    """
    script = Path(script)
    waiting, seen = [script], {script}
    while waiting:
        for module in imports(waiting.pop()):
            if module in left_out:
                continue
            for file in _files_run(script.parent, module):
                if file not in seen:
                    seen.add(file)
                    waiting.append(file)
    return seen


@cache
def _tree(file: Path) -> ast.Module:
    """The syntax tree without docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in _statements(tree):
        if hasattr(node, "body"):
            kept = [child for child in node.body if not _is_text(child)]
            node.body = kept or [ast.Pass()]
    return tree


def _statements(tree: ast.Module) -> list[ast.AST]:
    """The tree and all statements in it, at any depth; not the many more parts of expressions."""
    found: list[ast.AST] = [tree]
    for node in found:
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            found += getattr(node, block, ())
    return found


@cache
def _meaning(file: Path) -> str:
    return ast.unparse(_tree(file))


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@cache
def imports(file: Path) -> tuple[str, ...]:
    """Names of all modules that a file imports, anywhere in it, and of what it takes from them."""
    names = []
    for node in _statements(_tree(file)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(dict.fromkeys(names))


def _files_run(library: Path, module: str) -> list[Path]:
    """The module's file, and those files of its packages that hold more than a docstring."""
    own = _module_file(library, module)
    if own is None:
        return []
    packages = [folder / "__init__.py" for folder in own.parents if library in folder.parents]
    return [own, *(file for file in packages if file.is_file() and _meaning(file) != "pass")]


def _module_file(library: Path, module: str) -> Path | None:
    if module.split(".")[0] != PACKAGE:
        return None
    base = library.joinpath(*module.split("."))
    for file in (base.with_suffix(".py"), base / "__init__.py"):
        if file.is_file():
            return file
    return None
