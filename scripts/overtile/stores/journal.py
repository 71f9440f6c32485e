"""An append-only list of finished blocks, so that a killed job goes on where it stopped."""

import json
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from overtile.errors import InputError
from overtile.stores.files import say_if_full, write_text

NAME = "journal.jsonl"


class Journal:
    """Finished blocks of one store, under one key.

    The first line holds the key: a digest of inputs, settings and code. A journal with another key
    counts as empty, so results of different keys never mix. A line that a kill cut short is
    ignored. Appends are safe from several threads of one process.
    """

    def __init__(self, store: Path, key: str, holds: str):
        self._path = Path(store) / NAME
        self._header = {"key": key, "holds": holds}
        self._lock = threading.Lock()
        self._records: dict[str, dict] = {}
        self.is_fresh = True
        entries = _entries(self._path)
        if entries and entries[0] == self._header:
            self.is_fresh = False
            self._records = {entry["block"]: entry for entry in entries[1:] if "block" in entry}

    @staticmethod
    def holder(store: Path) -> str | None:
        """What a folder's store holds, finished or not; None without a store, "" if unknown."""
        path = Path(store) / NAME
        return _header(path).get("holds", "") if path.exists() else None

    @property
    def refuse_others(self) -> Callable[[], None]:
        """Raises InputError, in any process, if the store is not written under this key any more.

        A process that was thought lost must not write into what another one has begun since.
        """
        return partial(_refuse_others, self._path, self._header)

    def void(self) -> None:
        """Make the file on disk vouch for nothing, whatever the key."""
        write_text(self._path, json.dumps({"key": None, "holds": self._header["holds"]}) + "\n")

    def start(self) -> None:
        """Begin: keep what is done under this key, whole lines only; drop everything else."""
        entries = [self._header, *self._records.values()]
        write_text(self._path, "".join(json.dumps(entry) + "\n" for entry in entries))

    def append(self, block: str, record: dict) -> None:
        """Note a block as finished, after its shard lies on disk."""
        entry = {"block": block, **record}
        self.refuse_others()
        with self._lock:
            with say_if_full(self._path.parent), open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
            self._records[block] = entry

    def get(self, block: str) -> dict | None:
        """The record of a finished block, or None."""
        return self._records.get(block)


def _refuse_others(path: Path, header: dict) -> None:
    if not path.exists() or _header(path) != header:
        raise InputError(
            f"{path.parent}: another run, with other settings, has begun to write here; give each "
            "run a folder of its own"
        )


def recorded(store: Path) -> dict[str, dict]:
    """The record of each block that a store's journal knows, under whatever key; {} without one."""
    return {entry["block"]: entry for entry in _entries(store / NAME) if "block" in entry}


def _entries(path: Path) -> list[dict]:
    """What the whole lines of a journal hold; nothing if there is none."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return [entry for entry in map(_parse, text.splitlines(keepends=True)) if entry is not None]


def _header(path: Path) -> dict:
    with path.open(encoding="utf-8", errors="replace") as file:
        return _parse(file.readline()) or {}


def _parse(line: str) -> dict | None:
    """What a line holds; None for one that was cut short or damaged."""
    try:
        entry = json.loads(line) if line.endswith("\n") else None
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None
