"""With which code a model was trained, when, where, and how long it took."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from overtile.stores.digest import digest_file
from overtile.stores.run_log import read_run_log

NOT_RECORDED = "not recorded"
Facts = list[tuple[str, str]]


@dataclass(frozen=True)
class TrainingRun:
    """A run that led to a trained fold. date: ISO 8601; code: digest of what computed."""

    date: str
    code: str
    torch: str


@dataclass(frozen=True)
class TrainingCost:
    """What it took to train a fold, as far as it is known. place: device and what it ran with."""

    runs: tuple[TrainingRun, ...] = ()
    seconds: float | None = None
    place: str | None = None


def read_training(folder: Path) -> TrainingCost:
    """What is recorded of a fold; what is missing or damaged there is not known.

    Times and machines are no results: nothing is refused for them.
    """
    log = read_run_log(folder)
    done = folder / "fold.json"
    content = digest_file(done) if done.is_file() else None
    runs = [
        _run(entry)
        for entry in log.get("runs", [])
        if content and entry.get("content") == content
        if entry.get("trained") is not False  # that one only found it done
    ]
    return TrainingCost(
        tuple(run for run in runs if run is not None), log.get("seconds"), _place(log)
    )


def _run(entry: dict) -> TrainingRun | None:
    code, torch = entry.get("code"), entry.get("versions", {}).get("torch")
    if not code or not torch:
        return None
    try:
        date = datetime.fromisoformat(entry.get("started", "")).date()
    except ValueError:
        return None
    return TrainingRun(date.isoformat(), code, torch)


def _place(log: dict) -> str | None:
    names = ("device", "precision", "threads", "torch")
    if not log.keys() >= set(names):
        return None
    device, precision, threads, torch = (log[name] for name in names)
    return f"{device}, {precision}, {threads} threads, torch {torch}"


def training_facts(costs: Sequence[TrainingCost], code_today: str) -> Facts:
    """(what, value) for people, of a model's folds. code_today: what training would run now."""
    runs = [run for cost in costs for run in cost.runs]
    said = [f"code {run.code}, torch {run.torch}, on {run.date}" for run in runs]
    if not all(cost.runs for cost in costs):
        said.append(NOT_RECORDED if len(costs) == 1 or not runs else "not recorded of every fold")
    facts = [*_cost_facts(costs), ("Trained with", "; ".join(dict.fromkeys(said)))]
    if any(run.code != code_today for run in runs):
        facts.append(
            (
                "Code today",
                f"{code_today}. It differs from the code that the model was trained with. The "
                "model is kept as it is. To train it again, set retrain_on_code_change: true in "
                "the configuration.",
            )
        )
    return facts


def _cost_facts(costs: Sequence[TrainingCost]) -> Facts:
    known = [cost for cost in costs if cost.seconds is not None]
    if not known:
        return [("Training time", NOT_RECORDED)]
    folds = f" for {len(known)} folds" if len(known) > 1 else ""
    seconds = sum(cost.seconds for cost in known if cost.seconds is not None)
    facts = [("Training time", duration(seconds) + folds)]
    places = dict.fromkeys(cost.place for cost in known if cost.place)
    return [*facts, ("Trained on", "; ".join(places) or NOT_RECORDED)]


def duration(seconds: float) -> str:
    """A time for people: "45 s", "12 min", "3 h 05 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
