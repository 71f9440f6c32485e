"""What a trained fold leaves behind: weights, learning curve, and the file that says it is done."""

import hashlib
import json
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

from overtile.errors import InputError
from overtile.networks.weights import pack_weights
from overtile.stores.files import replace_when_done
from overtile.training.checkpoint import State

BEST, LAST, HISTORY, DONE = "best.safetensors", "last.safetensors", "history.tsv", "fold.json"


def rank(row: dict) -> tuple[float, float, int]:
    """What makes one epoch better than another: a higher mean validation Dice.

    Where it is 0, or no foreground class was measured, a lower validation loss; of equal epochs,
    and without validation, the later one.
    """
    dice = row.get("validation_dice") or 0.0
    loss = 0.0 if dice else row.get("validation_loss") or 0.0
    return dice, -loss, row["epoch"]


def write_results(folder: Path, state: State) -> None:
    """Write all files of a finished fold; `fold.json` last.

    Raises InputError, one line, for a state that does not know the best epoch.
    """
    contents = _contents(folder, state)
    if contents is None:
        raise InputError(
            f"{folder}: its checkpoint does not hold the best network; delete this folder and run "
            "scripts/train.py again"
        )
    for name, content in contents.items():
        _write(folder / name, content)
    _write(folder / DONE, next(_done(state.fold, contents)))


def settle(folder: Path, fold: int, state: State | None, known: Collection[str]) -> bool:
    """Make a finished fold complete: write again what was lost or damaged, and `fold.json`.

    state: of its checkpoint, if that can be read. known: SHA-256 of what `fold.json` may be, where
    the state does not tell. A line on standard error names each file that was written again.
    Returns False, with nothing written, if the files are damaged and the state has no copy.
    """
    contents = _contents(folder, state)
    if contents is None:
        return False
    for done in _done(fold, contents):
        if (state is not None and state.is_whole) or _sha256(done) in known:
            for name, content in contents.items():
                if _read(folder / name) != content:
                    _write(folder / name, content)
                    _say_again(folder / name)
            if _read(folder / DONE) not in (done, None):
                _say_again(folder / DONE)
            _write(folder / DONE, done)
            return True
    return False


def _say_again(path: Path) -> None:
    print(f"{path}: was lost or damaged; written again", file=sys.stderr, flush=True)


def _contents(folder: Path, state: State | None) -> dict[str, bytes] | None:
    """Each file but `fold.json`: as the state says; where it does not, as it lies there.

    None if one is neither in the state nor there.
    """
    contents: dict[str, bytes] = {}
    if state is not None:
        contents[LAST] = pack_weights(state.network)
        contents[HISTORY] = _as_table(state.history)
        if state.best is not None:
            contents[BEST] = pack_weights(state.best)
    for name in (BEST, LAST, HISTORY):
        if name not in contents:
            content = _read(folder / name)
            if content is None:
                return None
            contents[name] = content
    return contents


def _done(fold: int, contents: dict[str, bytes]) -> Iterator[bytes]:
    """`fold.json` as it is written today, and as it was before it named the learning curve."""
    history = _from_table(contents[HISTORY])
    if not history:
        return
    best = max(history, key=rank)
    done = {
        "fold": fold,
        "best_epoch": best["epoch"],
        "best": best,
        "best_sha256": _sha256(contents[BEST]),
        "last_sha256": _sha256(contents[LAST]),
    }
    for more in ({"history_sha256": _sha256(contents[HISTORY])}, {}):
        yield (json.dumps({**done, **more}, indent=1) + "\n").encode()


def _as_table(history: list[dict]) -> bytes:
    """One row per epoch, tab-separated; what was not measured is an empty cell."""
    rows = [["" if v is None else repr(v) for v in row.values()] for row in history]
    lines = ["\t".join(row) for row in (history[0], *rows)]
    return ("\n".join(lines) + "\n").encode()


def _from_table(table: bytes) -> list[dict] | None:
    """The rows of `_as_table`, exactly; None if that is not what it holds."""
    try:
        names, *rows = [line.split("\t") for line in table.decode().splitlines()]
        return [
            {"epoch": int(row[0])}
            | {n: float(c) if c else None for n, c in zip(names[1:], row[1:], strict=True)}
            for row in rows
        ]
    except ValueError:
        return None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _write(path: Path, content: bytes) -> None:
    with replace_when_done(path) as temporary:
        temporary.write_bytes(content)
