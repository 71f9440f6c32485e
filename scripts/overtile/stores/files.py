"""Write whole files or nothing."""

import errno
import fcntl
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from overtile.errors import InputError
from overtile.system_errors import FULL, no_room, number_in_text

SECONDS_UNTIL_LEFT = 60
"""A temporary file that nobody wrote into for so long, and nobody holds, was left by a kill."""

FAILED_WRITE = re.compile(
    # torch, torch when it closes the file after that, and NumPy.
    r"PytorchStreamWriter failed|unexpected pos \d+ vs|iostream error|requested and \d+ written"
)
"""What libraries say of a write that failed, and nothing of why."""

UNWRITABLE = {*FULL, errno.EIO, errno.ESTALE}

ASKED_BYTES = 1 << 20
"""Written to hear from the system why a write failed."""


@contextmanager
def say_if_full(folder: Path) -> Iterator[None]:
    """Turn a full disk into an InputError that names the folder, what is left, and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise InputError(no_room(folder, error.errno)) from None


def is_leftover(name: str, *of: str) -> bool:
    """Whether a file is, by its name, what a kill left of one of these files before it was whole.

    Earlier versions gave all temporary files of a target one name.
    """
    return any(re.fullmatch(rf"\.{re.escape(one)}(\.[0-9a-f]{{16}})?\.part", name) for one in of)


@contextmanager
def replace_when_done(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, renamed to it if the block ends without an exception.

    The temporary file is there already, empty, under a name that nobody else has; it may be opened
    again by that name. A link at `path` is replaced, not followed. What kills have left of earlier
    tries is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    with say_if_full(path.parent), _name_target(temporary, path):
        _remove_leftovers(path)
        # Not by tempfile, whose files nobody but their owner may read.
        file = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
        try:
            with suppress(OSError):  # a file system without locks: nobody will remove it then
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with _name_reason(file):
                yield temporary
            _flush(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
            os.close(file)


@contextmanager
def _name_target(temporary: Path, path: Path) -> Iterator[None]:
    """Errors of a temporary file are told of the file that it will be."""
    try:
        yield
    except OSError as error:
        if error.filename == str(temporary):
            error.filename = str(path)
        raise


@contextmanager
def _name_reason(file: int) -> Iterator[None]:
    """Turn what a library says of a failed write into what the system says of it.

    file: descriptor of what is written. Any other exception stays as it is.
    """
    try:
        yield
    except Exception as error:
        number = _reason(error, file)
        if number is None:
            raise
        raise OSError(number, os.strerror(number)) from error


def _reason(error: Exception, file: int) -> int | None:
    """The system's number of a failed write that the error does not bear; None for all others."""
    if isinstance(error, InputError) or getattr(error, "errno", None) is not None:
        return None
    if number_in_text(error) in UNWRITABLE:
        return number_in_text(error)
    return _ask(file) if FAILED_WRITE.search(str(error)) else None


def _ask(file: int) -> int | None:
    """The system's number of the error that more bytes at the end of a file lead to, if any."""
    end = os.fstat(file).st_size
    wanted = end + ASKED_BYTES
    try:
        while end < wanted:
            end += os.pwrite(file, bytes(wanted - end), end)
        os.fsync(file)
    except OSError as error:
        return error.errno
    return None


def _flush(temporary: Path) -> None:
    # By its name: the writer may have put another file there.
    file = os.open(temporary, os.O_RDWR | os.O_NOFOLLOW)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _remove_leftovers(path: Path) -> None:
    for entry in os.scandir(path.parent):
        if is_leftover(entry.name, path.name):
            with suppress(OSError):  # another run was faster, or it is another user's
                _remove_if_left(Path(entry.path))


def _remove_if_left(leftover: Path) -> None:
    """Remove a regular file that was not written for a while and that nobody holds.

    Without locks nobody can tell, and it stays.
    """
    if not stat.S_ISREG(leftover.lstat().st_mode):
        return
    file = os.open(leftover, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if time.time() - os.fstat(file).st_mtime > SECONDS_UNTIL_LEFT:
            leftover.unlink()
    finally:
        os.close(file)


def open_own(path: Path, mode: int = 0o666) -> int:
    """Open a file of a fixed name for reading and writing, made if need be, but never a link.

    Returns its descriptor. Raises InputError for a link, or anything else that is no plain file,
    which somebody may have put there.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, mode)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise
        raise InputError(
            f"{path}: is a link or not a regular file; remove it, then run again"
        ) from None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise InputError(f"{path}: is not a regular file; remove it, then run again")
    return file


def refuse_links(folder: Path, names: Iterable[str]) -> None:
    """Raise InputError for a link in place of one of a folder's own folders, or of any below it.

    What it points to is not the folder's: files would be written and removed there.
    """
    for own in (folder / name for name in sorted(names)):
        below = (Path(where, name) for where, inside, _ in os.walk(own) for name in inside)
        for place in (own, *below):
            if place.is_symlink():
                raise InputError(
                    f"{place}: is a link; {folder} may contain folders only; remove the link, "
                    "then run again"
                )


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
