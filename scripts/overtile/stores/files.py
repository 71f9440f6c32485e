"""Write whole files or nothing."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from overtile.errors import InputError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Errors of a disk without room, of a user's quota, and of the largest file allowed."""


@contextmanager
def say_if_full(folder: Path) -> Iterator[None]:
    """Turn a full disk into an InputError that names the folder, what is left, and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        left_mb = shutil.disk_usage(folder).free / 1e6
        raise InputError(
            f"{folder}: {error.strerror.lower()}, {left_mb:.1f} MB left; free space, then run "
            "again: what is finished is kept"
        ) from None


def temporary_path(path: Path) -> Path:
    """Where `replace_when_done` writes what will be `path`."""
    return path.with_name(f".{path.name}.part")


@contextmanager
def replace_when_done(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, renamed to it if the block ends without an exception.

    The temporary name is always the same, so that the next try takes up what a kill left behind.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(path)
    try:
        with say_if_full(path.parent):
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, as UTF-8."""
    with replace_when_done(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write JSON atomically, keys in the order given."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def read_json(path: Path) -> dict:
    """Read a JSON file; raise InputError if it is missing or is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; make it first") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a JSON file ({error}); make it again") from None
