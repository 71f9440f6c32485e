"""A finished model is an input: recognised by what it was trained from, whatever code did it."""

import re
import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from overtile.errors import InputError
from overtile.planning.plan import Fold, Plan
from overtile.stores.digest import digest_file, digest_of
from overtile.stores.files import read_json
from overtile.stores.run_log import read_run_log
from overtile.training.checkpoint import Origin, State, read_checkpoint
from overtile.training.results import BEST, DONE, settle
from overtile.training.samples import Slide

KeysOf = Callable[[str, str, str], Collection[str]]
"""From code, device and precision to the keys that today's inputs have with them."""


def keys_of(plan: Plan, fold: int, slides: dict[str, Slide]) -> KeysOf:
    """Keys of a fold of a plan: of today's training first, then of those that came before.

    slides: by name, as given. The order of slides has no meaning, but stood in keys once: a plan
    made then had the order of the sheet, as the flags may still have.
    """
    place = {name: number for number, name in enumerate(slides)}
    orders = (str, lambda name: 0, lambda name: place.get(name, len(place)))
    parts = []
    for order in orders:
        folds = [
            Fold(tuple(sorted(f.train, key=order)), tuple(sorted(f.validation, key=order)))
            for f in plan.folds
        ]
        used = [slides[name] for name in folds[fold].slides]
        digests = [(s.image.digest, s.classes.digest, s.weights.digest) for s in used]
        parts.append((replace(plan, folds=tuple(folds)).identity(), fold, digests))

    def keys(code: str, device: str, precision: str) -> list[str]:
        return [digest_of(*part, device, precision, code) for part in parts]

    return keys


def find_finished(
    folder: Path, fold: int, epochs: int, state: State | None, keys_of: KeysOf, code: str | None
) -> Origin | None:
    """The finished training of these inputs that lies in a folder, its files complete; or None.

    state: of the checkpoint there. code: the only one that counts; None for any. Says in one line
    if there is such a training, but its files are damaged.
    """

    def is_of_these_inputs(origin: Origin) -> bool:
        keys = keys_of(origin.code, origin.device, origin.precision)
        return code in (None, origin.code) and origin.key in keys

    claims = _noted(folder)
    if state is not None and len(state.history) == epochs:
        claims.append((state.origin, ""))
    found = [claim for claim in claims if is_of_these_inputs(claim[0])]
    if not found:
        return None
    own = state if state is not None and state.origin.key in {o.key for o, _ in found} else None
    if settle(folder, fold, own, {content for _, content in found}):
        return found[0][0]
    print(
        f"{folder}: is a finished fold of these inputs, but its files are lost or damaged, and its "
        "checkpoint has no copy of them; it is trained again",
        file=sys.stderr,
        flush=True,
    )
    return None


def _noted(folder: Path) -> list[tuple[Origin, str]]:
    """The trainings in a folder that went to their end, and the SHA-256 of their `fold.json`."""
    names = ("key", "code", "device", "precision", "content")
    runs = [run for run in read_run_log(folder).get("runs", []) if "ended" in run]
    values = [[run.get(name) for name in names] for run in runs]
    whole = [five for five in values if all(isinstance(value, str) for value in five)]
    return [(Origin(*five[:4]), five[4]) for five in whole]


def complete(folder: Path) -> None:
    """Check a fold before it is packaged; write again what its checkpoint has a copy of.

    Raises InputError, one line, if a file is lost or damaged for good.
    """
    state = read_checkpoint(folder)
    done = folder / DONE
    if state is not None and state.is_whole:
        settle(folder, state.fold, state, ())
    elif not settle(folder, _fold_of(folder), state, {digest_file(done)}):
        raise InputError(
            f"{folder / BEST}: this or another file of the fold is missing or changed since "
            f"training, and there is no copy; delete {done} and run scripts/train.py again"
        )


def refuse_other_plan(folder: Path, plan_path: Path, plan: str) -> None:
    """Raise InputError, one line, if a fold was trained from another plan, as far as that is known.

    plan: digest of the plan.
    """
    runs = read_run_log(folder).get("runs", [])
    known = {run["plan"] for run in runs if isinstance(run.get("plan"), str)}
    if known and plan not in known:
        raise InputError(
            f"{plan_path}: is not the plan that {folder} was trained from; make it again with "
            "scripts/plan.py, or run scripts/train.py with it"
        )


def _fold_of(folder: Path) -> int:
    """The number of a finished fold, by its `fold.json`; its folder may have it as a name."""
    done = folder / DONE
    if not done.is_file():
        raise InputError(f"{done}: no such file; run scripts/train.py for this fold first")
    with suppress(InputError):
        known = read_json(done)
        fold = known.get("fold") if isinstance(known, dict) else None
        name = folder.resolve().name
        if isinstance(fold, int) and (name == f"fold{fold}" or not re.fullmatch(r"fold\d+", name)):
            return fold
    raise InputError(f"{done}: damaged; delete it and run scripts/train.py again")
