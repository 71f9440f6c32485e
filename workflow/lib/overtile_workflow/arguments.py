"""Files of command-line arguments, one a line: a command has no room for thousands of slides."""

from collections.abc import Mapping, Sequence
from pathlib import Path


def write_flags(path: str | Path, flags: Mapping[str, Sequence[str]]) -> None:
    """Write flags and their values, for `script.py @path`."""
    lines = [word for flag, values in flags.items() for word in (flag, *values)]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_arguments(path: str | Path) -> dict[str, list[str]]:
    """Flags and their values; nothing if there is no such file."""
    flags: dict[str, list[str]] = {}
    if Path(path).is_file():
        values: list[str] = []
        for line in Path(path).read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("--"):
                values = flags.setdefault(line, [])
            else:
                values.append(line)
    return flags


def in_known_order(slides: Sequence[str], stores: Sequence[str]) -> list[str]:
    """The same slides in the order in which their stores are listed; sorted if others are listed.

    stores: root files, .../{slide}.ome.zarr/zarr.json. The order of slides has no meaning, so that
    a list which is right need not be written anew.
    """
    known = [Path(store).parent.name.removesuffix(".ome.zarr") for store in stores]
    return known if sorted(known) == sorted(slides) else sorted(slides)
