"""Settings of one model: names, types and defaults, checked wherever they come from."""

import difflib
from dataclasses import MISSING, dataclass, field, fields
from types import UnionType
from typing import get_args, get_origin

from overtile.errors import InputError
from overtile.training.augment import Augmentation

LOSSES = ("cross_entropy", "cross_entropy_dice")
OPTIMISERS = ("adam", "sgd")
NORMS = ("none", "batch", "instance")
ABOVE_0 = {"w0", "sigma_px", "sigma_um", "learning_rate", "border_tolerance", "tolerance"}
BELOW_1 = {"border_tolerance", "tolerance", "dropout"}
CHOICES = {"loss": LOSSES, "optimiser": OPTIMISERS, "norm": NORMS, "ndim": (2, 3)}


@dataclass(frozen=True)
class Settings:
    """What a user decides about a model; config/README.md explains each."""

    ndim: int = 2
    width: int = 64
    depth: int = 4
    norm: str = "none"
    dropout: float = 0.5
    tile_px: list = field(default_factory=lambda: [388, 388])
    batch_tiles: int = 1
    epochs: int = 100
    steps_per_epoch: int = 50
    validation_tiles: int = 16
    loss: str = "cross_entropy"
    optimiser: str = "adam"
    learning_rate: float = 0.0003
    w0: float = 10.0
    sigma_px: float = 5.0
    sigma_um: float | None = None
    border_tolerance: float = 1e-6
    separate_px: int = 1
    folds: int = 1
    seed: int = 0
    augmentation: dict = field(default_factory=dict)


def check_values(kind: type, values: dict, where: str) -> None:
    """Check names and types of values against the fields of a dataclass.

    where: the file, for messages. Raises InputError with one line for an unknown or missing name,
    a value of another type, one that is not among the choices, or a number below 0.
    """
    known = {f.name: f for f in fields(kind)}
    for name, value in values.items():
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}?" if close else f"allowed: {', '.join(known)}"
            raise InputError(f"{where}: unknown key {name!r}; {hint}")
        wanted = known[name].type
        if isinstance(wanted, UnionType):  # X | None
            if value is None:
                continue
            wanted = get_args(wanted)[0]
        wanted = get_origin(wanted) or wanted
        allowed = (int, float) if wanted is float else wanted
        if not isinstance(value, allowed) or (isinstance(value, bool) and wanted is not bool):
            raise InputError(
                f"{where}: {name} is {value!r}, not {wanted.__name__}; "
                "mend it (numbers like 1e-3 need a point: 1.0e-3)"
            )
        if value not in CHOICES.get(name, (value,)):
            raise InputError(f"{where}: {name} is {value!r}; allowed: {CHOICES[name]}")
        if wanted in (int, float):
            check_range(name, value, where)
    for name, one in known.items():
        if one.default is MISSING and one.default_factory is MISSING and name not in values:
            raise InputError(f"{where}: key {name!r} is missing; add it")


def check_range(name: str, value: float, where: str) -> None:
    """Raise InputError, one line, for a number that a key cannot have."""
    low = "above 0" if name in ABOVE_0 else "0 and above"
    high = "below 1" if name in BELOW_1 else "finite"
    is_low = value > 0 if name in ABOVE_0 else value >= 0
    is_high = value < (1 if name in BELOW_1 else float("inf"))
    if not (is_low and is_high):
        raise InputError(f"{where}: {name} is {value}; allowed: {low}, {high}")


def read_settings(values: dict, where: str) -> Settings:
    """Settings from plain values, defaults filled in. Raises InputError as `check_values` does."""
    check_values(Settings, values, where)
    settings = Settings(**values)
    check_values(Augmentation, settings.augmentation, f"{where}, augmentation")
    return settings
