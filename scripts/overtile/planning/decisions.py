"""Everything that training will do, worked out from the training set and the settings."""

import sys
from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from overtile.errors import InputError
from overtile.networks.family import Decided, Decisions, Facts, Geometry, load_family
from overtile.planning.plan import FORMAT, Fingerprint, Fold, Plan, Weights
from overtile.planning.reading import check_plan
from overtile.planning.training_set import (
    count_classes,
    look_at,
    refuse_mixed,
    refuse_same_name,
    refuse_unseparated,
)
from overtile.planning.twins import refuse_twins
from overtile.settings.checks import to_plain
from overtile.settings.model import Settings
from overtile.stores.store import Store
from overtile.targets.class_balance import class_weights

TAKEN_OVER = (
    *("loss", "optimiser", "learning_rate", "batch_tiles", "epochs", "steps_per_epoch"),
    *("validation_tiles", "augmentation", "seed"),
)
"""Settings that are decisions as they are."""


def relative_spacing(slides: Sequence[Fingerprint]) -> tuple[float, float, float]:
    """Median (z, y, x) pixel edges of the slides, relative to the finest of y and x."""
    sizes = [s.pixel_size_um for s in slides if s.pixel_size_um]
    if not sizes:
        return (1.0, 1.0, 1.0)
    z, y, x = np.median(sizes, axis=0)
    finest = min(y, x)
    return round(float(z / finest), 6), round(float(y / finest), 6), round(float(x / finest), 6)


def plan_weights(counts: Sequence[int], settings: Settings) -> Weights:
    """The plan's `weights`, from the pixels of each class in all training slides."""
    return Weights(
        w0=settings.w0,
        sigma_px=settings.sigma_px,
        sigma_um=settings.sigma_um,
        tolerance=settings.border_tolerance,
        class_weights=tuple(round(w, 6) for w in class_weights(counts)),
    )


def plan_folds(
    train: Sequence[str], groups: Sequence[str], validation: Sequence[str], folds: int
) -> tuple[Fold, ...]:
    """Training and validation slides of each fold, sorted by name.

    With one fold: the given slides. With more: each fold leaves out some groups of the training
    slides for validation, in turn; slides of one group stay together.
    """
    if folds == 1:
        return (Fold(tuple(sorted(train)), tuple(sorted(validation))),)
    names = sorted(set(groups))
    if len(names) < folds:
        raise InputError(
            f"folds: is {folds}, but the training slides have {len(names)} groups; "
            f"allowed: at most {len(names)}"
        )
    left_out = {group: number % folds for number, group in enumerate(names)}
    fold_of = {s: left_out[g] for s, g in zip(train, groups, strict=True)}
    return tuple(
        Fold(
            tuple(sorted(s for s in train if fold_of[s] != fold)),
            tuple(sorted([*(s for s in train if fold_of[s] == fold), *validation])),
        )
        for fold in range(folds)
    )


def choose_network(
    slides: Sequence[Fingerprint], classes: int, settings: Settings
) -> Decided[Decisions]:
    """The network for slides of these channels and pixel sizes, and why: its family decides."""
    family = load_family(settings.family, "settings")
    facts = Facts(settings.ndim, slides[0].channels, classes, relative_spacing(slides))
    names = [field.name for field in fields(family.Settings)]
    wanted = family.Settings(**{name: getattr(settings, name) for name in names})
    return family.decide(facts, wanted)


def choose_tile(
    slides: Sequence[Fingerprint], geometry: Geometry, wanted_px: Sequence[int]
) -> tuple[int, ...]:
    """Output edges of training tiles: as wanted or a little more, and no longer than a slide."""
    ndim = geometry.ndim
    flat = next((s.slide for s in slides if s.shape_px[0] == 1), None)
    if ndim == 3 and flat is not None:
        raise InputError(f"slide {flat}: has one plane, but ndim is 3; set ndim to 2")
    largest = np.max([s.shape_px[-ndim:] for s in slides], axis=0)
    wanted = tuple(min(w, int(n)) for w, n in zip(wanted_px, largest, strict=True))
    return geometry.sizes_for(wanted)[1]


def make_plan(
    train: Sequence[Store],
    validation: Sequence[Store],
    labels: Sequence[Store],
    groups: Sequence[str],
    settings: Settings,
) -> Plan:
    """Resolve settings and training set into a plan. The order of slides changes nothing.

    labels: what the network learns on the training slides, then on the validation slides.
    """
    count = len(train)
    refuse_same_name([store.name for store in (*train, *validation)])
    learnt = look_at(train, labels[:count], groups)
    judging = look_at(validation, labels[count:], [""] * len(validation))
    every = [*learnt, *judging]
    refuse_mixed(every)
    refuse_unseparated(every, settings.separate_px, settings.ndim)
    slides = tuple(slide.known for slide in every)
    classes = every[0].class_names
    family = load_family(settings.family, "settings")
    architecture, reasons = choose_network(slides, len(classes), settings)
    names, judges = ([slide.name for slide in part] for part in (learnt, judging))
    folds = plan_folds(names, [slide.group for slide in learnt], judges, settings.folds)
    refuse_twins([slide.image for slide in every], folds)
    plan = Plan(
        format=FORMAT,
        classes=classes,
        family=settings.family,
        architecture=architecture,
        spacing=relative_spacing(slides)[-settings.ndim :],
        tile_output_px=choose_tile(slides, family.geometry(architecture), settings.tile_px),
        weights=plan_weights(count_classes(slides[:count], classes), settings),
        folds=folds,
        slides=slides,
        **{name: getattr(settings, name) for name in TAKEN_OVER},
    )
    check_plan(plan, "settings")
    for name, reason in reasons.items():
        value = to_plain(getattr(architecture, name))
        print(f"plan: {name} {value}: {reason}", file=sys.stderr, flush=True)
    return plan
