"""What the operating system refused, said so that a person knows what to do."""

import errno
import os
import re
import shutil
from pathlib import Path

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Errors of a disk without room, of a user's quota, and of the largest file allowed."""

FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
OUT_OF_FILES = {errno.EMFILE, errno.ENFILE}
LOST = {
    errno.EPIPE,
    errno.ESHUTDOWN,
    errno.ENOTCONN,
    errno.ETIMEDOUT,
    errno.ECONNRESET,
    errno.ECONNREFUSED,
    errno.ECONNABORTED,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ENETRESET,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
}
NO_SUCH_PLACE = {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENOTEMPTY,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENXIO,
}
ADVICE = (
    (FORBIDDEN, "check its owner and permissions, then run again"),
    (
        OUT_OF_FILES,
        "raise the limit (ulimit -n) or use fewer threads and workers, then run again",
    ),
    (NO_SUCH_PLACE, "check the path, then run again"),
    ({errno.ESTALE}, "the network file system lost it; mount it again, then run again"),
    ({errno.EIO}, "the disk or its network cannot be read or written; check it, then run again"),
)

NUMBER = re.compile(r"\(os error (\d+)\)|\[errno (\d+)\]", re.IGNORECASE)
"""How libraries that are not written in Python tell the number of a system's error."""


def no_room(folder: Path, number: int) -> str:
    """One line for a disk, a quota or a file that is full. number: one of FULL."""
    there = next((place for place in (folder, *folder.absolute().parents) if place.exists()), "/")
    left_mb = shutil.disk_usage(there).free / 1e6
    return (
        f"{folder}: {os.strerror(number).lower()}, {left_mb:.1f} MB left; free space, then run "
        "again: finished parts are kept"
    )


def describe(error: OSError) -> str:
    """One line: the file if it is known, what happened, what to do."""
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    if error.errno in FULL:
        path = Path(name or ".")
        return no_room(path if path.is_dir() else path.parent, error.errno)
    said = " ".join((error.strerror or str(error) or type(error).__name__).split())
    where = f"{name}: " if name else ""
    if _is_lost_connection(error):
        return (
            f"{where}connection lost ({said}); check the network and the other machines and "
            "programs, then run again: finished parts are kept"
        )
    advice = next((text for numbers, text in ADVICE if error.errno in numbers), None)
    return f"{where}{said}; {advice or 'correct this, then run again'}"


def number_in_text(error: Exception) -> int | None:
    """The system's number that the text of an error of another library bears, or None."""
    found = NUMBER.search(str(error))
    return int(found[1] or found[2]) if found else None


def _is_lost_connection(error: OSError) -> bool:
    # dask's CommClosedError has no number, and looking for it by its class would import dask.
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return (
        isinstance(error, ConnectionError | TimeoutError)
        or error.errno in LOST
        or "CommClosedError" in kinds
    )
