"""Plans from files that people may have edited: each value checked, and that they fit together."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from overtile.errors import InputError
from overtile.networks.family import FIRST_FAMILY, Decisions, Geometry, load_family
from overtile.networks.limits import refuse_too_large
from overtile.planning.plan import Fingerprint, Fold, Plan
from overtile.settings.checks import check_name, check_range, read_record, shown
from overtile.settings.ranges import CLASS_COUNTS
from overtile.stores.yaml_files import read_yaml

DERIVED = "tile_input_px"
"""Stood in files once. It follows from the network and tile_output_px."""


def read_plan(path: Path) -> Plan:
    """Read a plan; raise InputError, one line, for a wrong key or value."""
    return plan_from(read_yaml(path), str(path))


def plan_from(values: dict, where: str) -> Plan:
    """A plan from the values of its file. where: the file, for messages."""
    if "format" not in values:
        raise InputError(
            f"{where}: is not a plan (no key 'format'); make a plan with scripts/plan.py"
        )
    decided = {name: value for name, value in values.items() if name != DERIVED}
    if "architecture" in decided:
        family = load_family(decided.get("family", FIRST_FAMILY), where)
        kind: type[Decisions] = family.Decisions
        decided["architecture"] = read_record(
            kind, decided["architecture"], f"{where}, architecture"
        )
    plan = read_record(Plan, decided, where)
    check_plan(plan, where)
    found, wanted = values.get(DERIVED), list(plan.tile_input_px)
    if DERIVED in values and found != wanted:
        raise InputError(
            f"{where}: {DERIVED} is {shown(found)}, but {wanted} follows from the network and "
            f"tile_output_px {list(plan.tile_output_px)}; write this value, or remove the key"
        )
    return plan


def check_plan(plan: Plan, where: str) -> None:
    """Raise InputError, one line, for values that do not fit together or make no sense."""
    plan.network.check(plan.architecture, f"{where}, architecture")
    ndim = plan.architecture.ndim
    _check_length("spacing", plan.spacing, ndim, where)
    _check_length("tile_output_px", plan.tile_output_px, ndim, where)
    network = (plan.network, plan.architecture)
    refuse_too_large(*network, plan.tile_output_px, plan.batch_tiles, where)
    _check_tile(plan.geometry, plan.tile_output_px, where)
    _check_classes(plan, where)
    if not plan.folds:
        raise InputError(f"{where}: folds is empty; give one fold or more")
    for number, fold in enumerate(plan.folds):
        _check_fold(fold, f"{where}, folds {number}")
    check_names("slides", [known.slide for known in plan.slides], where)
    for known in plan.slides:
        _check_slide(known, len(plan.classes), f"{where}, slide {known.slide}")


def _check_length(name: str, values: Sequence, wanted: int, where: str) -> None:
    if len(values) != wanted:
        raise InputError(
            f"{where}: {name} is {shown(list(values))}; allowed: {wanted} values, one per axis"
        )


def _check_tile(geometry: Geometry, output_px: tuple[int, ...], where: str) -> None:
    above = geometry.sizes_for(output_px)[1]
    if above != output_px:
        below = [max(n - s, 0) for n, s in zip(above, geometry.stride, strict=True)]
        nearest = ", ".join(
            f"{n} or {m}" if 0 < n < m != w else str(m)
            for n, m, w in zip(below, above, output_px, strict=True)
        )
        raise InputError(
            f"{where}: tile_output_px is {list(output_px)}, which the network cannot give; "
            f"nearest along each axis: {nearest}"
        )


def _check_classes(plan: Plan, where: str) -> None:
    names, count = plan.classes, plan.architecture.classes
    check_range("classes", len(names), CLASS_COUNTS, where)
    check_names("classes", names, where)
    if len(names) != count:
        raise InputError(
            f"{where}: has {len(names)} classes, but its network has {count} outputs; give one "
            "name per output"
        )
    given = len(plan.weights.class_weights)
    if given != count:
        raise InputError(
            f"{where}: has {given} class_weights for {count} classes; give one per class"
        )


def check_names(key: str, names: Sequence[str], where: str) -> None:
    """Raise InputError, one line, for names that are none, or are given twice."""
    for name in names:
        check_name(key, name, where)
    (name, times), *_ = Counter(names).most_common(1) or [("", 0)]
    if times > 1:
        raise InputError(f"{where}: {key} has {name!r} {times} times; names must differ")


def _check_fold(fold: Fold, where: str) -> None:
    check_names("train", fold.train, where)
    check_names("validation", fold.validation, where)
    if not fold.train:
        raise InputError(f"{where}: train is empty; add a training slide")
    both = sorted(set(fold.train) & set(fold.validation))
    if both:
        raise InputError(f"{where}: {both[0]} is in train and in validation; remove it from one")


def _check_slide(known: Fingerprint, classes: int, where: str) -> None:
    _check_length("shape_px", known.shape_px, 3, where)
    if known.pixel_size_um is not None:
        _check_length("pixel_size_um", known.pixel_size_um, 3, where)
    for name, wanted in {
        "mean": known.channels,
        "std": known.channels,
        "class_counts": classes,
    }.items():
        found = getattr(known, name)
        if len(found) != wanted:
            raise InputError(
                f"{where}: {name} has {len(found)} values; allowed: {wanted}; make the plan again"
            )
