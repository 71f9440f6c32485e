"""What other processes write, in a module that takes no time to import."""

from pathlib import Path

from overtile.stores.files import write_text


def write_many(target: Path, letter: str, times: int) -> None:
    """Write a file of one letter over and over."""
    for _ in range(times):
        write_text(target, letter * 200_000)
