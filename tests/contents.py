"""What must be the same, byte by byte, however often a run was killed."""

from pathlib import Path

LEFT_OUT = ("journal.jsonl", "effort.json", "checkpoint*", ".lock", ".*.part")
"""The order in which blocks ended, when and how long runs were, what training resumes from, and
what a kill leaves of a file before it is whole: a later write of that file removes it."""


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by its relative path, but those of `LEFT_OUT`."""
    files = [
        f for f in sorted(folder.rglob("*")) if f.is_file() and not any(map(f.match, LEFT_OUT))
    ]
    return {str(f.relative_to(folder)): f.read_bytes() for f in files}
