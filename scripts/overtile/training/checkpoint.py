"""Checkpoints: written whole, verified when read, read without executing anything."""

import hashlib
import io
import json
import os
import re
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import BinaryIO

import torch

from overtile.stores.digest import digest_file
from overtile.stores.files import replace_when_done, write_json

POINTER = "checkpoint.json"
"""Names the file of the checkpoint and its SHA-256: replaced when that file is whole."""

EARLIER = "checkpoint.pt"
"""What overtile wrote before there was a pointer: without the best network, and without a digest
of its own; the archive format has a checksum of each tensor."""

OWN = re.compile(r"checkpoint-[0-9a-f]{16}\.pt")
NEXT = "checkpoint-next.pt"


@dataclass(frozen=True)
class Origin:
    """What a training was made from. key: digest of inputs, settings, and the other three."""

    key: str
    code: str
    device: str
    precision: str


@dataclass(frozen=True)
class State:
    """A training after some epochs; tensors by name, as `state_dict` gives them.

    origin: all but its key is empty where that is not known. optimiser: None after the last epoch,
    where nothing follows. best: the network of the best epoch; None if it is not known.
    """

    origin: Origin
    fold: int
    network: dict
    optimiser: dict | None
    best: dict | None
    history: list[dict]

    @property
    def is_whole(self) -> bool:
        """Whether all files of a finished fold can be written from it."""
        return self.optimiser is None and self.best is not None


def save_checkpoint(folder: Path, state: State) -> None:
    """Save a state; the one before it is removed when the new one can be read."""
    with replace_when_done(folder / NEXT) as temporary:
        digest = _write(state, temporary)
    name = f"checkpoint-{digest[:16]}.pt"
    os.replace(folder / NEXT, folder / name)
    write_json(folder / POINTER, {"file": name, "sha256": digest})
    _remove_all_but(folder, name)


def forget_checkpoint(folder: Path) -> None:
    """Remove a checkpoint of other inputs, settings or code."""
    (folder / POINTER).unlink(missing_ok=True)
    _remove_all_but(folder, None)


def _remove_all_but(folder: Path, name: str | None) -> None:
    (folder / EARLIER).unlink(missing_ok=True)
    for path in folder.glob("checkpoint-*.pt"):
        if path.name != name and (OWN.fullmatch(path.name) or path.name == NEXT):
            path.unlink()


class _Digesting(io.RawIOBase):
    """A file that digests what is written to it.

    torch calls `write` from C++, where an exception ends the process or becomes another one: what
    goes wrong is kept, to be raised afterwards.
    """

    def __init__(self, file: BinaryIO):
        self._file, self._sha = file, hashlib.sha256()
        self.error: OSError | None = None

    def writable(self) -> bool:
        """For torch."""
        return True

    def write(self, data) -> int:
        """Write and digest; nothing any more after an error."""
        if self.error is None:
            try:
                self._file.write(data)
                self._sha.update(data)
            except OSError as error:
                self.error = error
        return len(data)

    def hexdigest(self) -> str:
        """SHA-256 of all that was written."""
        return self._sha.hexdigest()


def _write(state: State, path: Path) -> str:
    """Write a state to a file; return the file's SHA-256."""
    with open(path, "wb") as file:
        digesting = _Digesting(file)
        values = {**vars(state), "origin": vars(state.origin)}
        torch.save(values, digesting)  # type: ignore[arg-type]  # torch needs only its `write`
        if digesting.error is not None:
            raise digesting.error
    return digesting.hexdigest()


def read_checkpoint(folder: Path) -> State | None:
    """The checkpoint in a fold's folder, or None.

    A damaged one counts as none: one line on standard error says so.
    """
    pointer, earlier = folder / POINTER, folder / EARLIER
    if pointer.exists():
        state = _read(folder, pointer)
        damaged = pointer
    elif earlier.exists():
        state = _read_earlier(earlier)
        damaged = earlier
    else:
        return None
    if state is None:
        print(f"{damaged}: its checkpoint is damaged and not used", file=sys.stderr, flush=True)
    return state


def _read(folder: Path, pointer: Path) -> State | None:
    try:
        named = json.loads(pointer.read_bytes())
        name, digest = named["file"], named["sha256"]
        if not OWN.fullmatch(name) or digest_file(folder / name) != digest:
            return None
        known = torch.load(folder / name, map_location="cpu", weights_only=True)
        return State(**{**known, "origin": Origin(**known["origin"])})
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _read_earlier(path: Path) -> State | None:
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return None
        known = torch.load(path, map_location="cpu", weights_only=True)
        origin = Origin(known["key"], "", "", "")
        return State(origin, 0, known["network"], known["optimiser"], None, known["history"])
    except (zipfile.BadZipFile, RuntimeError, UnpicklingError, KeyError, TypeError):
        return None
