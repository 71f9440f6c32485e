"""What scripts import, themselves and through the library, also what a `Registry` names."""

import ast
from functools import cache
from pathlib import Path

PACKAGE = "overtile"


@cache
def imports(file: Path) -> tuple[str, ...]:
    """Modules that a file imports or has in a registry, and names that it takes from them."""
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Registry":
            names += [p.split(":")[0] for p in ast.literal_eval(node.args[0]).values()]
    return tuple(dict.fromkeys(names))


def files_run(script: Path) -> set[Path]:
    """The script and, through its imports, every library file it can reach."""
    waiting, seen = [script], {script}
    while waiting:
        for module in imports(waiting.pop()):
            base = script.parent.joinpath(*module.split("."))
            for file in (base.with_suffix(".py"), base / "__init__.py"):
                if module.split(".")[0] == PACKAGE and file.is_file() and file not in seen:
                    seen.add(file)
                    waiting.append(file)
    return seen
