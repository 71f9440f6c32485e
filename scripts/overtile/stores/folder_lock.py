"""One process at a time in a folder, and what is left behind where it was killed.

The lock is the kernel's (flock): it ends with the processes that hold it, however they end. What is
written into its file stays, so that the next one knows.
"""

import fcntl
import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from overtile.errors import InputError
from overtile.stores.files import open_own

PROC = Path("/proc")

EXIT_STILL_RUNNING = 75
"""EX_TEMPFAIL of sysexits.h: nothing is wrong, try again later."""


class StillRunning(InputError):
    """Somebody else is at work; ends a script with an exit code of its own."""

    exit_code = EXIT_STILL_RUNNING


def try_lock(path: Path, mode: int = 0o666) -> int | None:
    """Lock a file, which is made if need be; return its descriptor, None if another process has it.

    mode: permissions of a new file. The lock ends with the last process that has the descriptor,
    however it ends. Programs that a process starts have it only if it is passed to them (PEP 446).
    Raises InputError for a link.
    """
    file = open_own(path, mode)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file


@dataclass(frozen=True)
class Held:
    """A lock that this process holds.

    was_killed: who ran something under it before never said that it was done.
    """

    file: TextIO
    was_killed: bool

    def run(self, command: Sequence[str]) -> int:
        """Run a command to its end; return its exit code, below 0 if it was killed.

        The command holds the lock too: should this process be killed, it stays until both are gone.
        """
        who = {"process": os.getpid(), "host": socket.gethostname(), "since": _now()}
        self._write(json.dumps(who) + "\n")
        return subprocess.run(command, pass_fds=[self.file.fileno()]).returncode

    def done(self) -> None:
        """Say that nothing is left behind."""
        self._write("")

    def _write(self, text: str) -> None:
        # Cut off last: on a full disk what was there before stays, and is not taken for nothing.
        self.file.seek(0)
        self.file.write(text)
        self.file.flush()
        self.file.truncate()
        os.fsync(self.file.fileno())


@contextmanager
def hold_folder(path: Path) -> Iterator[Held]:
    """Hold the lock of a file, which is made if need be; it says who runs something under it.

    Raises StillRunning if another process holds it, with who that is and since when.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = try_lock(path)
    if lock is None:
        raise StillRunning(f"{path}: {_holder(path)}; wait until it ends")
    with open(lock, "r+", encoding="utf-8") as file:
        yield Held(file, was_killed=bool(file.read()))


def _now() -> str:
    return datetime.now(UTC).isoformat(sep=" ", timespec="seconds")


def _holder(path: Path) -> str:
    """Who has the lock, for people; its file may be empty for a moment."""
    try:
        who = json.loads(path.read_text(encoding="utf-8"))
        return (
            f"a run is still active, since {who['since']}, process {who['process']} on "
            f"{who['host']}"
        )
    except ValueError:
        return "a run has just started"


RUNS = r"([^\0]*/)?(python[^/\0]*\0(-[WX]\0[^\0]*\0|-[^\0]*\0)*([^\0]*/)?)?{program}\0"
"""Command line, as in /proc, of a program itself, or of Python that runs a module or script."""


def processes_in(folder: Path, program: str, or_hidden: bool = False) -> list[int]:
    """Other processes of this machine that run a program in a folder.

    program: name of its file, or of the module or script that Python runs. or_hidden: also those
    whose folder this user may not see, which may be this one. None where the system has no /proc.
    """
    runs = re.compile(RUNS.format(program=re.escape(program)))
    entries = [entry for entry in PROC.glob("[0-9]*") if runs.match(_command(entry))]
    others = [entry for entry in entries if entry.name != str(os.getpid())]
    return [int(entry.name) for entry in others if _is_in(entry, folder, or_hidden)]


def _command(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_text(errors="replace")
    except OSError:  # it has ended
        return ""


def _is_in(entry: Path, folder: Path, if_hidden: bool) -> bool:
    try:
        # The same folder, not the same path: a container may know it by another one.
        return (entry / "cwd").samefile(folder)
    except PermissionError:  # it is another user's, or in a container
        return if_hidden
    except OSError:  # it has ended
        return False
