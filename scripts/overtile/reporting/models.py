"""How the models were made: plans, learning curves, training times."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from overtile.errors import InputError
from overtile.planning.plan import Plan, Weights
from overtile.planning.reading import read_plan
from overtile.stores.effort import EFFORT
from overtile.stores.files import read_json


@dataclass(frozen=True)
class Fold:
    """One training run. history: columns of history.tsv, one value per epoch."""

    number: int
    history: dict[str, list[float]]
    best_epoch: int | None
    effort: dict


@dataclass(frozen=True)
class Model:
    """One model of the archive. facts: (what, value) for people, in the order to show.

    weights: how the plan weighs borders and classes.
    """

    name: str
    facts: tuple[tuple[str, str], ...]
    folds: tuple[Fold, ...]
    weights: Weights


def read_model(folder: Path) -> Model:
    """Read `plan.yaml` and those of its folds that have begun; raise InputError if broken.

    Folders of folds that the plan does not have are left over from an earlier one.
    """
    plan = read_plan(folder / "plan.yaml")
    paths = [folder / f"fold{number}" for number in range(len(plan.folds))]
    folds = tuple(_read_fold(n, path) for n, path in enumerate(paths) if path.is_dir())
    facts = (*_plan_facts(plan), *_training_facts(folder, folds))
    return Model(folder.resolve().name, facts, folds, plan.weights)


def _read_fold(number: int, folder: Path) -> Fold:
    done = _read_if_there(folder / "fold.json")
    return Fold(
        number,
        read_history(folder / "history.tsv"),
        done.get("best_epoch"),
        _read_if_there(folder / EFFORT),
    )


def _read_if_there(path: Path) -> dict:
    values = read_json(path) if path.is_file() else {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds {type(values).__name__}, expected keys; train again")
    return values


def read_history(path: Path) -> dict[str, list[float]]:
    """Columns of a learning curve; empty if the file is not there yet."""
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", strict=True))
        if rows and not {"epoch", "loss"} <= rows[0].keys():
            raise ValueError("no columns epoch and loss")
        return {name: [float(row[name]) for row in rows] for name in (rows[0] if rows else ())}
    except (ValueError, TypeError, csv.Error) as error:
        raise InputError(f"{path}: not a learning curve ({error}); train again") from None


def _plan_facts(plan: Plan) -> list[tuple[str, str]]:
    a, weights, folds = plan.architecture, plan.weights, plan.folds
    train = sorted({name for fold in folds for name in fold.train})
    validation = sorted({name for fold in folds for name in fold.validation})
    norm = "no normalisation" if a.norm == "none" else f"{a.norm} normalisation"
    return [
        (
            "Network",
            f"{a.ndim}D U-Net, {len(a.pools)} levels deep, {a.width} channels at the "
            f"first, {norm}, dropout {a.dropout}",
        ),
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
        ("Slides learnt from", _names(train)),
        ("Slides for validation", _names(validation)),
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


def _training_facts(folder: Path, folds: Sequence[Fold]) -> list[tuple[str, str]]:
    try:
        return _effort_facts([fold.effort for fold in folds if "seconds" in fold.effort])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{folder}: an {EFFORT} of a fold is damaged ({type(error).__name__}: {error}); "
            "remove it: only training times are lost"
        ) from None


def _effort_facts(efforts: Sequence[dict]) -> list[tuple[str, str]]:
    if not efforts:
        return [("Training time", "not recorded")]
    total = sum(float(effort["seconds"]) for effort in efforts)
    places = dict.fromkeys(
        f"{e['device']}, {e['precision']}, {e['threads']} threads, torch {e['torch']}"
        for e in efforts
    )
    folds = f" for {len(efforts)} folds" if len(efforts) > 1 else ""
    return [("Training time", duration(total) + folds), ("Trained on", "; ".join(places))]


def duration(seconds: float) -> str:
    """A time for people: "45 s", "12 min", "3 h 05 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
