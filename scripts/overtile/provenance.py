"""How a result was made: command, code, versions and times, noted beside what they led to.

Times differ from run to run, so that none of this may stand in a result itself: the same content
must give the same bytes.
"""

import platform
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from overtile.code_digest import code_digest
from overtile.stores.digest import digest_file
from overtile.stores.files import read_json, write_json

PACKAGES = ("torch", "numpy", "scipy", "zarr", "dask", "scikit-image", "tifffile", "snakemake")

EFFORT = "effort.json"
"""What it took to make the folder that it lies in; no part of the result."""

COMMITS = ("zarr.json", "fold.json")
"""What a finished folder has: a store, a trained fold."""


def versions() -> dict[str, str]:
    """Versions of Python and of those libraries that results depend on and that are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def now() -> str:
    """The time of day in UTC to the millisecond, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def describe_run(script: Path, arguments: Sequence[str], started: str, facts: dict) -> dict:
    """The record of a run that ends now.

    script: the step's file. arguments: of its command line. facts: what else the step has to say,
    such as `inputs`, SHA-256 of raw files by path.
    """
    return {
        "script": script.name,
        "command": shlex.join(["python", _shown(script), *map(str, arguments)]),
        "code": code_digest(script),
        "started": started,
        "ended": now(),
        "versions": versions(),
        **facts,
    }


def _shown(script: Path) -> str:
    """The script's path as it was called."""
    called = Path(sys.argv[0])
    return str(called if called.name == script.name else script)


def note_run(folder: Path, run: dict) -> None:
    """Add a run to a folder's record, after those that have left the same content there.

    A step that finds everything done ends at once and leaves what was there: the runs before it
    are those that computed. Runs that led to other content are dropped.
    """
    content = content_digest(folder)
    if content is None:
        return
    known = _read_effort(folder)
    earlier = [old for old in known.get("runs", []) if old.get("content") == content]
    write_json(folder / EFFORT, {**known, "runs": [*earlier, {**run, "content": content}]})


def read_runs(folder: Path) -> list[dict]:
    """The runs that made what lies in a folder, oldest first; empty if that is not known."""
    content = content_digest(folder)
    return [run for run in _read_effort(folder).get("runs", []) if run.get("content") == content]


def content_digest(folder: Path) -> str | None:
    """SHA-256 of the file that says that a folder is finished; None without one."""
    found = next((folder / name for name in COMMITS if (folder / name).is_file()), None)
    return digest_file(found) if found else None


def _read_effort(folder: Path) -> dict:
    path = folder / EFFORT
    return read_json(path) if path.is_file() else {}
