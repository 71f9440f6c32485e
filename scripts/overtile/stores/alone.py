"""One process at a time in a folder, and what is left behind where it was killed.

The lock is the kernel's (flock): it ends with the processes that hold it, however they end. What is
written into its file stays, so that the next one knows.
"""

import fcntl
import json
import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from overtile.errors import InputError

EXIT_STILL_RUNNING = 75
"""EX_TEMPFAIL of sysexits.h: nothing is wrong, try again later."""


class StillRunning(InputError):
    """Somebody else is at work; ends a script with an exit code of its own."""

    exit_code = EXIT_STILL_RUNNING


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
        self.file.seek(0)
        self.file.truncate()
        self.file.write(text)
        self.file.flush()
        os.fsync(self.file.fileno())


@contextmanager
def alone(path: Path) -> Iterator[Held]:
    """Hold the lock of a file, which is made if need be; it says who runs something under it.

    Raises StillRunning if another process holds it, with who that is and since when.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StillRunning(f"{path}: {_holder(file)}; nothing to do but wait") from None
        file.seek(0)
        yield Held(file, was_killed=bool(file.read()))


def _now() -> str:
    return datetime.now(UTC).isoformat(sep=" ", timespec="seconds")


def _holder(file: TextIO) -> str:
    """Who has the lock, for people; its file may be empty for a moment."""
    file.seek(0)
    try:
        who = json.loads(file.read())
        return (
            f"a run is still going on, since {who['since']}, process {who['process']} on "
            f"{who['host']}"
        )
    except ValueError:
        return "a run is still going on, which has just begun"


def processes_in(folder: Path, program: str) -> list[int]:
    """Processes of this machine that run a program in a folder, as far as this user may see.

    A program by its file's name, also as the module or script that another one runs. None where
    the system has no /proc.
    """
    entries = Path("/proc").glob("[0-9]*")
    return [int(entry.name) for entry in entries if _runs(entry, program, folder)]


def _runs(entry: Path, program: str, folder: Path) -> bool:
    try:
        words = (entry / "cmdline").read_text(errors="replace").split("\0")
        return any(Path(word).name == program for word in words[:4]) and (
            (entry / "cwd").resolve(strict=True) == folder
        )
    except OSError:  # it has ended, or is somebody else's
        return False
