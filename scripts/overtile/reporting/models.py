"""How the models were made: plans, learning curves, training times."""

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overtile.errors import InputError
from overtile.planning.plan import Plan, Weights
from overtile.planning.reading import read_plan
from overtile.reporting.training_cost import TrainingCost, read_training, training_facts
from overtile.stores.digest import digest_file
from overtile.stores.files import read_json
from overtile.stores.yaml_files import read_yaml

HISTORY, DONE = "history.tsv", "fold.json"
TRAIN_AGAIN = "delete fold.json and train again: training goes on from its checkpoint"


History = dict[str, list[float]]
"""Columns of history.tsv, one value per epoch; NaN where an epoch had nothing to measure."""


@dataclass(frozen=True)
class Fold:
    """One training run. best_epoch: the one whose weights were kept."""

    number: int
    history: History
    best_epoch: int | None
    cost: TrainingCost


@dataclass(frozen=True)
class Model:
    """One model of the archive. facts: (what, value) for people, in the order to show.

    weights: how the plan weighs borders and classes.
    """

    name: str
    facts: tuple[tuple[str, str], ...]
    folds: tuple[Fold, ...]
    weights: Weights


def read_model(folder: Path, code_today: Callable[[str, str], str]) -> Model:
    """Read `plan.yaml` and those of its folds that have begun; raise InputError if broken.

    code_today: from the names of a loss and a family to the digest of what training would run now.
    Folds that the plan does not have, or whose weights are not those in the package, are left over
    from an earlier model.
    """
    plan = read_plan(folder / "plan.yaml")
    packaged = _packaged_weights(folder / "package" / "plan.yaml")
    paths = [(number, folder / f"fold{number}") for number in range(len(plan.folds))]
    found = (_read_fold(number, path, packaged) for number, path in paths if path.is_dir())
    folds = tuple(fold for fold in found if fold)
    if folds:
        costs = [fold.cost for fold in folds]
        trained = training_facts(costs, code_today(plan.loss, plan.family))
    elif packaged:
        trained = [("Trained", "elsewhere; this archive uses the finished model")]
    else:
        trained = [("Trained", "not yet")]
    return Model(folder.resolve().name, (*_plan_facts(plan), *trained), folds, plan.weights)


def _packaged_weights(path: Path) -> set[str]:
    """SHA-256 of the weights in a package, given its plan; empty if there is none yet."""
    if not path.is_file():
        return set()
    try:
        return {str(member["sha256"]) for member in read_yaml(path)["members"]}
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not the plan of a packaged model ({type(error).__name__}: {error}); "
            "make it with scripts/package.py"
        ) from None


def _read_fold(number: int, folder: Path, packaged: set[str]) -> Fold | None:
    """A fold; None if the packaged model does not come from it."""
    done, path = {}, folder / DONE
    if path.is_file():
        done = read_json(path)
        _refuse_odd(done, path)
        if packaged and done["best_sha256"] not in packaged:
            _refuse_changed(done["best_sha256"], folder)
            return None
    history = read_history(folder / HISTORY)
    if done:
        _refuse_contradictions(history, done["best"], folder)
    return Fold(number, history, done.get("best_epoch"), read_training(folder))


def _refuse_odd(done: Any, path: Path) -> None:
    try:
        best, epoch = done["best"], done["best_epoch"]
        is_whole = type(epoch) is int and best["epoch"] == epoch and "best_sha256" in done
    except (KeyError, TypeError):
        is_whole = False
    if not is_whole:
        raise InputError(f"{path}: does not say which epoch was best; {TRAIN_AGAIN}")


def _refuse_changed(sha256: str, folder: Path) -> None:
    """Raise InputError if fold.json does not name the fold's own weights either."""
    weights = folder / "best.safetensors"
    if weights.is_file() and digest_file(weights) != sha256:
        raise InputError(
            f"{folder / DONE}: best_sha256 is not that of best.safetensors, nor of the packaged "
            f"model; one of them is damaged; {TRAIN_AGAIN}"
        )


def _refuse_contradictions(history: History, best: dict, folder: Path) -> None:
    """Raise InputError if a learning curve does not hold the best epoch as fold.json has it."""
    place = best["epoch"] - 1
    for name, value in best.items():
        found = history.get(name, [])[place : place + 1]
        is_unmeasured = value is None or value != value
        is_gap = is_unmeasured and found and math.isnan(found[0])
        if not is_gap and found != [value]:
            raise InputError(
                f"{folder / HISTORY}: is missing, or {name} of the best epoch is not that of "
                f"{folder / DONE}; one of them is damaged; {TRAIN_AGAIN}"
            )


def read_history(path: Path) -> History:
    """Columns of a learning curve, NaN for what was not measured; empty if it is not there yet."""
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", strict=True))
        if not rows or not {"epoch", "loss"} <= rows[0].keys():
            raise ValueError("no columns epoch and loss")
        history = {name: [_value(name, row[name]) for row in rows] for name in rows[0]}
        if history["epoch"] != list(range(1, len(rows) + 1)):
            raise ValueError("its epochs are not 1, 2, 3, ...")
        return history
    except (ValueError, TypeError, csv.Error) as error:
        raise InputError(f"{path}: not a learning curve ({error}); {TRAIN_AGAIN}") from None


def _value(name: str, cell: str) -> float:
    """A cell of a learning curve; a class may not be measured in an epoch, and its cell empty."""
    if cell == "" and name.startswith("validation_dice"):
        return math.nan
    value = float(cell)
    if name in ("epoch", "loss") and not math.isfinite(value):
        raise ValueError(f"{name} is {cell}")
    return value if math.isfinite(value) else math.nan


def _plan_facts(plan: Plan) -> list[tuple[str, str]]:
    a, weights, folds = plan.architecture, plan.weights, plan.folds
    train = sorted({name for fold in folds for name in fold.train})
    validation = sorted({name for fold in folds for name in fold.validation})
    return [
        ("Network", f"{a.ndim}D {plan.network.describe(a)}"),
        ("Input", f"{a.in_channels} channel{'s' if a.in_channels > 1 else ''}"),
        ("Classes", ", ".join(map(str, plan.classes))),
        (
            "Tiles",
            f"{_edges(plan.tile_input_px)} px in, {_edges(plan.tile_output_px)} px out, "
            f"{plan.batch_tiles} per step",
        ),
        (
            "Loss",
            f"{plan.loss}; borders weighted with w0 {weights.w0}, sigma {sigma_text(weights)}",
        ),
        (
            "Training",
            f"{plan.epochs} epochs of {plan.steps_per_epoch} steps, {plan.optimiser}, "
            f"learning rate {plan.learning_rate}, seed {plan.seed}",
        ),
        ("Training slides", _names(train)),
        ("Validation slides", _names(validation)),
        *([("Folds", f"{len(folds)}, each leaves other groups out")] if len(folds) > 1 else []),
    ]


def sigma_text(weights: Weights) -> str:
    """The width of the border term with its unit. weights: of a plan."""
    return f"{weights.sigma_px} px" if weights.sigma_um is None else f"{weights.sigma_um} µm"


def _edges(sizes: Sequence[int]) -> str:
    return " × ".join(map(str, sizes))


def _names(names: Sequence[str], shown: int = 8) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"{len(names)}: {', '.join(map(str, names[:shown]))}{more}"
