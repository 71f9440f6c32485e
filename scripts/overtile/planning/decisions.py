"""Everything that training will do, worked out from the training set and the settings."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from overtile.errors import InputError
from overtile.geometry.class_balance import class_weights
from overtile.networks.architecture import Architecture, choose_levels
from overtile.planning.plan import FORMAT, Fingerprint, Fold, Plan, Weights
from overtile.planning.reading import check_plan
from overtile.settings.checks import read_record
from overtile.settings.model import Settings
from overtile.stores.store import Store


def fingerprint(store: Store, labels: Store) -> Fingerprint:
    """What a training slide and the labels to learn are like: size, intensities, objects."""
    classes = labels.label_classes()
    counts = classes.attributes["class_counts"]
    objects = labels.attributes["objects"]
    return read_record(
        Fingerprint,
        {
            "slide": store.name,
            "digest": store.digest,
            "labels_digest": labels.digest,
            "separate_px": labels.attributes.get("separate_px", 0),
            "shape_px": list(store.shape),
            "channels": store.array.shape[0],
            "pixel_size_um": store.attributes["pixel_size_um"],
            "dtype": str(store.array.dtype),
            "mean": store.attributes["mean"],
            "std": store.attributes["std"],
            "class_counts": counts,
            "ignored_px": classes.attributes["ignored"],
            "objects": objects,
            "mean_object_px": round(sum(counts[1:]) / objects, 1) if objects else None,
        },
        str(store.path),
    )


def refuse_mixed(slides: Sequence[Fingerprint], class_names: Sequence[Sequence[str]]) -> None:
    """Slides of one training set must agree in channels, dimensions and classes."""
    for what, values in {
        "channels": [s.channels for s in slides],
        "classes": [tuple(names) for names in class_names],
    }.items():
        odd = next((i for i, value in enumerate(values) if value != values[0]), None)
        if odd is not None:
            raise InputError(
                f"slide {slides[odd].slide}: has {what} {values[odd]}, but slide "
                f"{slides[0].slide} has {values[0]}; train on slides that agree"
            )


def relative_spacing(slides: Sequence[Fingerprint]) -> tuple[float, float, float]:
    """Median (z, y, x) pixel edges of the slides, relative to the finest of y and x."""
    sizes = [s.pixel_size_um for s in slides if s.pixel_size_um]
    if not sizes:
        return (1.0, 1.0, 1.0)
    z, y, x = np.median(sizes, axis=0)
    finest = min(y, x)
    return tuple(round(float(v / finest), 6) for v in (z, y, x))


def refuse_unseparated(
    slides: Sequence[Fingerprint], labels: Sequence[Store], separate_px: int, ndim: int
) -> None:
    """Instances must be separated as the settings say; components of one class never touch."""
    for slide, store in zip(slides, labels, strict=True):
        if store.attributes["kind"] != "instances":
            continue
        if slide.separate_px != separate_px:
            raise InputError(
                f"{store.path}: cells were separated by {slide.separate_px} px, the settings "
                f"say separate_px: {separate_px}; make labels with scripts/separate.py and give "
                "them as --labels, or change the setting (0: none)"
            )
        if store.attributes.get("separate_ndim", ndim) != ndim:
            raise InputError(
                f"{store.path}: cells were separated in {store.attributes['separate_ndim']} "
                f"dimensions, the network has {ndim}; run scripts/separate.py with --ndim {ndim}"
            )


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
            f"folds: {folds} asked for, but the training slides form {len(names)} groups; "
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


def refuse_same_name(names: Sequence[str]) -> None:
    """Slides are told apart by their names."""
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise InputError(f"slide {name}: is given {times} times; give each slide once, or rename")


def refuse_same_picture(slides: Sequence[Fingerprint], folds: Sequence[Fold]) -> None:
    """A picture under two names must not be learnt from and validated on.

    Two of them to learn from are allowed: two people may have labelled one picture.
    """
    digests = {s.slide: s.digest for s in slides}
    for fold in folds:
        learnt = {digests[name]: name for name in fold.train}
        for name in fold.validation:
            twin = learnt.get(digests[name])
            if twin:
                raise InputError(
                    f"slide {name}: has the same pixels as slide {twin}; one would be learnt from, "
                    "the other validate; leave one out, or give both one group and one split"
                )


def choose_architecture(
    slides: Sequence[Fingerprint], classes: int, settings: Settings
) -> Architecture:
    """The network for slides of these channels and pixel sizes."""
    pools, kernels = choose_levels(settings.ndim, settings.depth, relative_spacing(slides))
    return Architecture(
        ndim=settings.ndim,
        in_channels=slides[0].channels,
        classes=classes,
        width=settings.width,
        pools=pools,
        kernels=kernels,
        dropout=settings.dropout,
        norm=settings.norm,
    )


def choose_tile(
    slides: Sequence[Fingerprint], architecture: Architecture, wanted_px: Sequence[int]
) -> tuple[int, ...]:
    """Output edges of training tiles: as wanted or a little more, and no longer than a slide."""
    ndim = architecture.ndim
    flat = next((s.slide for s in slides if s.shape_px[0] == 1), None)
    if ndim == 3 and flat is not None:
        raise InputError(f"slide {flat}: has one plane, but ndim is 3; set ndim to 2")
    largest = np.max([s.shape_px[-ndim:] for s in slides], axis=0)
    wanted = tuple(min(w, int(n)) for w, n in zip(wanted_px, largest, strict=True))
    return architecture.sizes_for(wanted)[1]


def count_classes(slides: Sequence[Fingerprint], names: Sequence[str]) -> list[int]:
    """Pixels of each class in the training slides; InputError if one has none."""
    counts = np.sum([s.class_counts for s in slides], axis=0).tolist()
    missing = [name for name, n in zip(names, counts, strict=True) if n == 0]
    if missing:
        raise InputError(
            f"training slides: have no pixel of class {', '.join(missing)}; "
            "add a slide that has, or remove the class from labels.classes"
        )
    return counts


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
    refuse_same_name([store.name for store in (*train, *validation)])
    # Training slides first, each part by name: a sheet's rows may be sorted anew.
    rows = [(False, s.name, s, g) for s, g in zip(train, groups, strict=True)]
    rows += [(True, s.name, s, "") for s in validation]
    pairs = sorted(zip(rows, labels, strict=True), key=lambda pair: pair[0][:2])
    labels = [store for _, store in pairs]
    slides = tuple(fingerprint(row[2], store) for row, store in pairs)
    names = [store.label_classes().attributes["class_names"] for store in labels]
    refuse_mixed(slides, names)
    refuse_unseparated(slides, labels, settings.separate_px, settings.ndim)
    architecture = choose_architecture(slides, len(names[0]), settings)
    learnt = [known.slide for known in slides[: len(train)]]
    folds = plan_folds(
        learnt,
        [row[3] for row, _ in pairs[: len(train)]],
        [known.slide for known in slides[len(train) :]],
        settings.folds,
    )
    refuse_same_picture(slides, folds)
    plan = Plan(
        format=FORMAT,
        classes=tuple(names[0]),
        architecture=architecture,
        spacing=relative_spacing(slides)[-settings.ndim :],
        tile_output_px=choose_tile(slides, architecture, settings.tile_px),
        weights=plan_weights(count_classes(slides[: len(train)], names[0]), settings),
        loss=settings.loss,
        optimiser=settings.optimiser,
        learning_rate=settings.learning_rate,
        batch_tiles=settings.batch_tiles,
        epochs=settings.epochs,
        steps_per_epoch=settings.steps_per_epoch,
        validation_tiles=settings.validation_tiles,
        augmentation=settings.augmentation,
        seed=settings.seed,
        folds=folds,
        slides=slides,
    )
    check_plan(plan, "settings")
    return plan
