"""Files of command-line arguments, one a line: a command has no room for thousands of slides."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import mkstemp
from urllib.parse import quote


def write_flags(path: str | Path, flags: Mapping[str, Sequence[str]]) -> None:
    """Write flags and their values, for `script.py @path`."""
    lines = [word for flag, values in flags.items() for word in (flag, *values)]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_arguments(path: str | Path, memory: Path) -> dict[str, list[str]]:
    """Flags and their values; nothing if there is no such file, and never was.

    memory: folder that keeps a copy. Snakemake removes a file before the rule runs that writes it,
    and asks for the rule's parameters once more after that: they must be the same.
    """
    path, copy = Path(path), memory / quote(str(path), safe="")
    text = _read(path)
    if text is None:
        text = _read(copy) or ""
    elif text != _read(copy):
        memory.mkdir(parents=True, exist_ok=True)
        number, part = mkstemp(dir=memory)
        with open(number, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(part, copy)
    flags: dict[str, list[str]] = {}
    values: list[str] = []
    for line in text.splitlines():
        if line.startswith("--"):
            values = flags.setdefault(line, [])
        else:
            values.append(line)
    return flags


def _read(path: Path) -> str | None:
    if not path.is_file():
        return None
    return path.read_text(encoding="utf-8", errors="replace")


def in_known_order(slides: Sequence[str], stores: Sequence[str]) -> list[str]:
    """The same slides in the order in which their stores are listed; sorted if others are listed.

    stores: root files, .../{slide}.ome.zarr/zarr.json. The order of slides has no meaning, so a
    correct list is not written again.
    """
    known = [Path(store).parent.name.removesuffix(".ome.zarr") for store in stores]
    return known if sorted(known) == sorted(slides) else sorted(slides)
