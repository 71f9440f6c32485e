"""An append-only list of finished blocks, so that a killed job goes on where it stopped."""

import json
import os
import threading
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from overtile.errors import InputError
from overtile.stores.files import say_if_full, write_text

NAME = "journal.jsonl"

KINDS = frozenset({"picture", "labels", "classes", "weights", "probabilities", "work"})
"""What a store may hold."""

CHECKSUM = "crc32"

PROVEN = {"block", "sha256"}
"""What the shard itself proves. What else a line without a checksum says may be damaged."""


class Journal:
    """Arrays and finished blocks of one store, under one key.

    The first line holds the key: a digest of inputs, settings and code. A journal with another key
    counts as empty, so results of different keys never mix. Each line has a checksum: one that a
    kill cut short, or that was damaged, counts as not there. Lines that were written before there
    were checksums have none: of these, blocks of which more is noted than the shard can prove are
    computed again. Appends are safe from several threads of one process.
    """

    def __init__(self, store: Path, key: str, holds: str):
        self._path = Path(store) / NAME
        self._header: dict = {"key": key, "holds": holds}
        self._lock = threading.Lock()
        self._records: dict[str, dict] = {}
        entries = _entries(self._path)
        self.arrays = _array_names(entries)
        """Names of the arrays that lie there, whatever the key: the store's own."""
        self.is_fresh = not (entries and entries[0] == self._header)
        if not self.is_fresh:
            is_checked = _has_checksum(_lines(self._path, 1)[0])
            blocks = [entry for entry in entries[1:] if "block" in entry]
            self._records = {e["block"]: e for e in blocks if is_checked or set(e) <= PROVEN}

    @staticmethod
    def holder(store: Path) -> str | None:
        """What a folder's store holds, finished or not; None without a journal of this project.

        It is one by its first line, or by any other line with a checksum that is right: then "",
        as what the store holds is not known.
        """
        entries = _entries(Path(store) / NAME)
        if entries and _is_header(entries[0]):
            return entries[0]["holds"]
        lines = _lines(Path(store) / NAME)
        return "" if any(_has_checksum(line) and _parse(line) for line in lines) else None

    @property
    def refuse_other_run(self) -> Callable[[], None]:
        """Raises InputError, in any process, if the store is not written under this key any more.

        A process that was thought lost must not write into what another one has begun since.
        """
        return partial(_refuse_other_run, self._path, self._header)

    def void(self) -> None:
        """Mark no block as finished in the file, for any key; arrays stay the store's."""
        void_journal(self._path.parent, self._header["holds"], self.arrays)

    def start(self) -> None:
        """Begin: keep what is done under this key, whole lines only; drop everything else."""
        entries = [self._header]
        entries += [{"array": name} for name in sorted(self.arrays)]
        entries += self._records.values()
        _write(self._path, entries)

    def forget_arrays(self) -> None:
        """Name no array any more, as none lies there; to be followed by `start`."""
        self.arrays = set()

    def add_array(self, name: str) -> None:
        """Note an array as the store's own, before anything of it is created."""
        if name not in self.arrays:
            self._append({"array": name})
            self.arrays.add(name)

    def append(self, block: str, record: dict) -> None:
        """Note a block as finished, after its shard lies on disk."""
        entry = {"block": block, **record}
        self._append(entry)
        self._records[block] = entry

    def _append(self, entry: dict) -> None:
        self.refuse_other_run()
        with self._lock, say_if_full(self._path.parent):
            # A link in its place would have its target written to.
            place = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
            with open(place, "a", encoding="utf-8") as file:
                file.write(_line(entry))

    def get(self, block: str) -> dict | None:
        """The record of a finished block, or None."""
        return self._records.get(block)

    def record(self, block: str) -> dict:
        """The record of a finished block; KeyError for any other."""
        return self._records[block]


def void_journal(store: Path, holds: str, arrays: set[str]) -> None:
    """Write a journal without finished blocks, which names the arrays of the store."""
    entries: list[dict] = [
        {"key": None, "holds": holds},
        *({"array": name} for name in sorted(arrays)),
    ]
    _write(Path(store) / NAME, entries)


def arrays_named(store: Path) -> set[str]:
    """Names of the arrays that a journal of this project calls its own; none without one."""
    if Journal.holder(store) is None:
        return set()
    return _array_names(_entries(Path(store) / NAME))


def recorded(store: Path) -> dict[str, dict]:
    """The record of each block that a store's journal knows, under whatever key; {} without one."""
    entries = _entries(Path(store) / NAME)
    return {entry["block"]: entry for entry in entries if isinstance(entry.get("block"), str)}


def _refuse_other_run(path: Path, header: dict) -> None:
    lines = _lines(path, 1)
    if not lines or _parse(lines[0]) != header:
        raise InputError(
            f"{path.parent}: a run with other settings is writing here now; use another folder for "
            "each run"
        )


def _write(path: Path, entries: list[dict]) -> None:
    write_text(path, "".join(map(_line, entries)))


def _line(entry: dict) -> str:
    """An entry as a line with its checksum."""
    return json.dumps({**entry, CHECKSUM: _checksum(entry)}) + "\n"


def _checksum(entry: dict) -> str:
    return f"{zlib.crc32(json.dumps(entry).encode()):08x}"


def _is_header(entry: dict) -> bool:
    return set(entry) == {"key", "holds"} and entry["holds"] in KINDS


def _array_names(entries: list[dict]) -> set[str]:
    """The arrays that entries name, or whose blocks they name; numbers, as nothing else is one."""
    names = {entry["array"] for entry in entries if isinstance(entry.get("array"), str)}
    blocks = {entry["block"] for entry in entries if isinstance(entry.get("block"), str)}
    names |= {block.split("/")[0] for block in blocks}
    return {name for name in names if name.isascii() and name.isdigit()}


def _entries(path: Path) -> list[dict]:
    """What the whole lines of a journal hold; nothing if there is none.

    Where the first line has a checksum every other one needs one.
    """
    lines = _lines(path)
    is_checked = bool(lines) and _has_checksum(lines[0])
    kept = [line for line in lines if not is_checked or _has_checksum(line)]
    return [entry for entry in map(_parse, kept) if entry is not None]


def _lines(path: Path, count: int | None = None) -> list[str]:
    """The first lines of a file, or all; none if there is no such file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        return file.readlines() if count is None else [file.readline()]


def _has_checksum(line: str) -> bool:
    return f'"{CHECKSUM}": "' in line


def _parse(line: str) -> dict | None:
    """What a line holds, without its checksum; None for one that was cut short or damaged."""
    try:
        entry = json.loads(line) if line.endswith("\n") else None
        if not isinstance(entry, dict):
            return None
        checksum = entry.pop(CHECKSUM, None)
        return entry if checksum in (None, _checksum(entry)) else None
    except (ValueError, RecursionError):
        return None
