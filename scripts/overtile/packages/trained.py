"""What a package takes over from a finished fold."""

from dataclasses import dataclass
from pathlib import Path

from overtile.errors import InputError
from overtile.settings.checks import read_record
from overtile.stores.files import read_json


@dataclass(frozen=True)
class Best:
    """The epoch whose weights a fold keeps, and how good they were."""

    epoch: int
    validation_dice: float | None = None


@dataclass(frozen=True)
class Trained:
    """What a package takes from the fold.json of a finished fold."""

    fold: int
    best_sha256: str
    best: Best


def read_trained(fold: Path) -> Trained:
    """What a package takes from a fold; InputError, one line, if the fold has none of it."""
    path = fold / "fold.json"
    done = read_json(path)
    try:
        best = {name: done["best"].get(name) for name in ("epoch", "validation_dice")}
        values = {"fold": done["fold"], "best_sha256": done["best_sha256"], "best": best}
    except (AttributeError, KeyError, TypeError):
        raise InputError(f"{path}: is not the record of a finished training; train again") from None
    return read_record(Trained, values, str(path))
