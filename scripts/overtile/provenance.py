"""How a result was made: command, code, versions and times, noted beside what they led to.

Times differ from run to run, so that none of this may stand in a result itself: the same content
must give the same bytes.
"""

import platform
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from overtile.code_digest import code_digest
from overtile.stores.digest import digest_file
from overtile.stores.run_log import DESCRIBED, add_to_run_log, read_run_log

PACKAGES = (
    *("torch", "numpy", "scipy", "numba", "scikit-image", "zarr", "numcodecs", "dask"),
    *("tifffile", "imagecodecs", "pillow", "nibabel", "pyarrow", "safetensors"),
)
"""Those that pixels, weights, numbers and files of results come from or go through."""

COMMITS = ("zarr.json", "fold.json")
"""What a finished folder has: a store, a trained fold."""


def versions() -> dict[str, str]:
    """Versions of Python and of those libraries that results depend on and that are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def describe_run(script: Path, arguments: Sequence[str], started: str) -> dict:
    """The record of a run that begins; at its end `ended` comes in, and what the step has to say.

    script: the step's file. arguments: of its command line. What steps say: `content`, SHA-256 of
    the file that they wrote; `also`, those of all others; `inputs`, those of what they read outside
    the results, by path.
    """
    return {
        "script": script.name,
        "command": shlex.join(["python", _shown(script), *map(str, arguments)]),
        "code": code_digest(script),
        "started": started,
        "versions": versions(),
    }


def _shown(script: Path) -> str:
    """The script's path as it was called."""
    called = Path(sys.argv[0])
    return str(called if called.name == script.name else script)


def log_end(folder: Path, run: dict) -> None:
    """Note the digest of a folder's content in the record of a run that went well.

    The records of earlier runs get it too: they have the same key, as a run with another key starts
    from the beginning and deletes them. Killed runs have no end. If this run found everything done,
    those that ended have computed it.
    """
    content = content_digest(folder)
    if content is None:
        return
    known = [
        old for old in read_run_log(folder).get("runs", []) if old.get("key") == run.get("key")
    ]
    before = [old for old in known if not old.items() <= run.items()]
    add_to_run_log(folder, runs=[{**one, "content": content} for one in (*before, run)])


def read_runs(folder: Path) -> list[dict]:
    """The runs that made what lies in a folder, oldest first; empty if that is not known."""
    content = content_digest(folder)
    runs = read_run_log(folder).get("runs", []) if content else []
    return [run for run in runs if run.get("content") == content and set(DESCRIBED) <= set(run)]


def content_digest(folder: Path) -> str | None:
    """SHA-256 of the file that says that a folder is finished; None without one."""
    found = next((folder / name for name in COMMITS if (folder / name).is_file()), None)
    return digest_file(found) if found else None
