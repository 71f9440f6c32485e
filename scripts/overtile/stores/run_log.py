"""Who works at a store or a trained fold: noted beside it before anything is written there.

Times differ from run to run, so that none of this is part of a result. A run that is killed leaves
its entry without an end: what it had finished may be part of what a later run ends.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from math import inf
from pathlib import Path

from overtile.errors import InputError
from overtile.stores.files import read_json, write_json

RUN_LOG = "effort.json"
"""What it took to make the folder that it lies in: runs, and what else a step sums up."""

DESCRIBED = ("script", "command", "code", "started", "versions")
"""What every run says of itself."""


@dataclass
class StepRun:
    """A run of a step. folder: where it is noted, or None. describe: gives its entry.

    begun: the entry as it was noted when the run began to write.
    """

    folder: Path | None
    describe: Callable[[], dict]
    begun: dict | None = None


_STEP_RUN: ContextVar[StepRun | None] = ContextVar("step run", default=None)


@contextmanager
def running_step(step_run: StepRun) -> Iterator[None]:
    """Within the block, whatever begins to write in the run's folder notes it there."""
    token = _STEP_RUN.set(step_run)
    try:
        yield
    finally:
        _STEP_RUN.reset(token)


def log_start(folder: Path, key: str, is_fresh: bool, code: str | None = None) -> None:
    """Note the step that runs, before the first pixel is written.

    folder: what is written, the run's folder or a store inside it; of several, the first counts.
    key: digest of inputs, settings and code. is_fresh: nothing of earlier runs is taken up, so that
    they are forgotten; those of another key are forgotten in any case. code: digest of the code
    with what is chosen by name, where the step's own does not tell.
    """
    step_run = _STEP_RUN.get()
    own = step_run.folder if step_run else None
    if step_run is None or own is None or not folder.resolve().is_relative_to(own.resolve()):
        if is_fresh:
            (folder / RUN_LOG).unlink(missing_ok=True)
        return
    if step_run.begun is not None:
        return
    known = {} if is_fresh else read_run_log(own)
    earlier = [run for run in known.get("runs", []) if run.get("key") == key]
    chosen = {} if code is None else {"code": code}
    step_run.begun = {**step_run.describe(), **chosen, "key": key}
    write_json(own / RUN_LOG, {**known, "runs": [*earlier, step_run.begun]})


def add_to_run_log(folder: Path, **facts: object) -> None:
    """Add facts to what is known, or replace them."""
    write_json(folder / RUN_LOG, {**read_run_log(folder), **facts})


def read_run_log(folder: Path) -> dict:
    """What it took to make a folder; empty if that is not known: no work is refused for it.

    runs: a list of mappings; seconds: a number, 0 or above; device, precision and torch: texts;
    threads: a whole number. What is damaged or of another type counts as not known.
    """
    known: dict = {}
    with suppress(InputError, RecursionError):
        known = read_json(folder / RUN_LOG)
    if not isinstance(known, dict):
        return {}
    if "runs" in known:
        runs = known["runs"] if isinstance(known["runs"], list) else []
        known["runs"] = [run for run in runs if _is_run(run)]
    seconds = known.get("seconds", 0.0)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < inf:
        del known["seconds"]
    types: dict[str, type] = {"device": str, "precision": str, "torch": str, "threads": int}
    odd = [name for name, kind in types.items() if not isinstance(known.get(name, kind()), kind)]
    return {name: value for name, value in known.items() if name not in odd}


def read_record(path: Path) -> dict:
    """The record of a run in a file of its own; raise InputError, one line, if it is damaged."""
    run: dict = {}
    with suppress(InputError):
        run = read_json(path)
    if not _is_run(run) or not set(DESCRIBED) <= set(run):
        raise InputError(
            f"{path}: is not the record of a run, or is damaged; delete it to leave the run out, "
            f"or run its step again with --record {path}"
        )
    return run


def _is_run(run: object) -> bool:
    """Whether something is the record of a run: a mapping of names to what `provenance` notes."""
    if not isinstance(run, dict):
        return False
    texts = ("script", "command", "code", "started", "ended", "key", "content", "device")
    return (
        all(isinstance(run.get(name, ""), str) for name in texts)
        and all(_names_texts(run.get(name, {})) for name in ("inputs", "versions"))
        and all(Path(path).is_absolute() for path in run.get("inputs", {}))
        and isinstance(run.get("also", []), list)
        and all(isinstance(digest, str) for digest in run.get("also", []))
    )


def _names_texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
