"""Everything that training will do, worked out from the training set and the settings."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from overtile.errors import InputError
from overtile.geometry.class_balance import class_weights
from overtile.networks.architecture import Architecture, choose_levels
from overtile.stores.files import read_yaml
from overtile.stores.store import Store
from overtile.training.augment import Augmentation
from overtile.training.settings import Settings, check_range, check_values

FORMAT = 1


# Nested lists in the file, tuples in `Architecture`.
PLACEHOLDERS = {"pools": (), "kernels": ()}


@dataclass(frozen=True)
class Weights:
    """Keys of the plan's `weights`."""

    w0: float
    sigma_px: float
    sigma_um: float | None
    tolerance: float
    class_weights: list


@dataclass(frozen=True)
class Plan:
    """Keys of plan.yaml and their types. A plan is kept as the plain values of the file."""

    format: int
    classes: list
    architecture: dict
    spacing: list
    tile_input_px: list
    tile_output_px: list
    weights: dict
    loss: str
    optimiser: str
    learning_rate: float
    batch_tiles: int
    epochs: int
    steps_per_epoch: int
    validation_tiles: int
    augmentation: dict
    seed: int
    folds: list
    slides: list


def read_plan(path: Path) -> dict:
    """Read a plan that people may have edited; raise InputError for a wrong key or value."""
    plan = read_yaml(path)
    check_values(Plan, plan, str(path))
    check_values(Architecture, plan["architecture"] | PLACEHOLDERS, f"{path}, architecture")
    check_values(Augmentation, plan["augmentation"], f"{path}, augmentation")
    check_values(Weights, plan["weights"], f"{path}, weights")
    weights = plan["weights"]["class_weights"]
    if len(weights) != len(plan["classes"]):
        raise InputError(
            f"{path}: has {len(weights)} class_weights for {len(plan['classes'])} classes; "
            "give one each"
        )
    for weight in weights:
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise InputError(f"{path}: class_weights has {weight!r}; allowed: numbers")
        check_range("class_weights", weight, str(path))
    return plan


def fingerprint(store: Store, labels: Store) -> dict:
    """What a training slide and the labels to learn are like: size, intensities, objects."""
    classes = labels.label_classes()
    counts = classes.attributes["class_counts"]
    objects = labels.attributes["objects"]
    return {
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
    }


def refuse_mixed(slides: Sequence[dict], class_names: Sequence[Sequence[str]]) -> None:
    """Slides of one training set must agree in channels, dimensions and classes."""
    for what, values in {
        "channels": [s["channels"] for s in slides],
        "classes": [tuple(names) for names in class_names],
    }.items():
        odd = next((i for i, value in enumerate(values) if value != values[0]), None)
        if odd is not None:
            raise InputError(
                f"slide {slides[odd]['slide']}: has {what} {values[odd]}, but slide "
                f"{slides[0]['slide']} has {values[0]}; train on slides that agree"
            )


def relative_spacing(slides: Sequence[dict]) -> tuple[float, float, float]:
    """Median (z, y, x) pixel edges of the slides, relative to the finest of y and x."""
    sizes = [s["pixel_size_um"] for s in slides if s["pixel_size_um"]]
    if not sizes:
        return (1.0, 1.0, 1.0)
    z, y, x = np.median(sizes, axis=0)
    finest = min(y, x)
    return tuple(round(float(v / finest), 6) for v in (z, y, x))


def refuse_unseparated(
    slides: Sequence[dict], labels: Sequence[Store], separate_px: int, ndim: int
) -> None:
    """Instances must be separated as the settings say; components of one class never touch."""
    for slide, store in zip(slides, labels, strict=True):
        if store.attributes["kind"] != "instances":
            continue
        if slide["separate_px"] != separate_px:
            raise InputError(
                f"{store.path}: cells were separated by {slide['separate_px']} px, the settings "
                f"say separate_px: {separate_px}; make labels with scripts/separate.py and give "
                "them as --labels, or change the setting (0: none)"
            )
        if store.attributes.get("separate_ndim", ndim) != ndim:
            raise InputError(
                f"{store.path}: cells were separated in {store.attributes['separate_ndim']} "
                f"dimensions, the network has {ndim}; run scripts/separate.py with --ndim {ndim}"
            )


def plan_weights(counts: Sequence[int], settings: Settings) -> dict:
    """The plan's `weights`, from the pixels of each class in all training slides."""
    return {
        "w0": settings.w0,
        "sigma_px": settings.sigma_px,
        "sigma_um": settings.sigma_um,
        "tolerance": settings.border_tolerance,
        "class_weights": [round(w, 6) for w in class_weights(counts)],
    }


def plan_folds(
    train: Sequence[str], groups: Sequence[str], validation: Sequence[str], folds: int
) -> list[dict]:
    """Training and validation slides of each fold.

    With one fold: the given slides. With more: each fold leaves out some groups of the training
    slides for validation, in turn; slides of one group stay together.
    """
    if folds == 1:
        return [{"train": list(train), "validation": list(validation)}]
    names = sorted(set(groups))
    if len(names) < folds:
        raise InputError(
            f"folds: {folds} asked for, but the training slides form {len(names)} groups; "
            f"allowed: at most {len(names)}"
        )
    left_out = {group: number % folds for number, group in enumerate(names)}
    return [
        {
            "train": [s for s, g in zip(train, groups, strict=True) if left_out[g] != fold],
            "validation": [
                *(s for s, g in zip(train, groups, strict=True) if left_out[g] == fold),
                *validation,
            ],
        }
        for fold in range(folds)
    ]


def make_plan(
    train: Sequence[Store],
    validation: Sequence[Store],
    labels: Sequence[Store],
    groups: Sequence[str],
    settings: Settings,
) -> dict:
    """Resolve settings and training set into a plan: plain values, readable and editable.

    labels: what the network learns on the training slides, then on the validation slides.
    """
    slides = list(map(fingerprint, (*train, *validation), labels))
    names = [store.label_classes().attributes["class_names"] for store in labels]
    refuse_mixed(slides, names)
    refuse_unseparated(slides, labels, settings.separate_px, settings.ndim)
    ndim = settings.ndim
    if len(settings.tile_px) != ndim:
        raise InputError(
            f"tile_px: has {len(settings.tile_px)} values, the network has {ndim} axes; "
            "give one edge per axis"
        )
    if ndim == 3 and any(s["shape_px"][0] == 1 for s in slides):
        flat = next(s["slide"] for s in slides if s["shape_px"][0] == 1)
        raise InputError(f"slide {flat}: has one plane, but ndim is 3; set ndim to 2")
    spacing = relative_spacing(slides)
    pools, kernels = choose_levels(ndim, settings.depth, spacing)
    architecture = Architecture(
        ndim=ndim,
        in_channels=slides[0]["channels"],
        classes=len(names[0]),
        width=settings.width,
        pools=pools,
        kernels=kernels,
        dropout=settings.dropout,
        norm=settings.norm,
    )
    largest = np.max([s["shape_px"][-ndim:] for s in slides], axis=0)
    wanted = [min(w, int(n)) for w, n in zip(settings.tile_px, largest, strict=True)]
    input_px, output_px = architecture.sizes_for(tuple(wanted))
    training = slides[: len(train)]
    counts = np.sum([s["class_counts"] for s in training], axis=0).tolist()
    missing = [name for name, n in zip(names[0], counts, strict=True) if n == 0]
    if missing:
        raise InputError(
            f"training slides: have no pixel of class {', '.join(missing)}; "
            "add a slide that has, or remove the class from labels.classes"
        )
    return {
        "format": FORMAT,
        "classes": list(names[0]),
        "architecture": architecture.to_dict(),
        "spacing": list(spacing[-ndim:]),
        "tile_input_px": list(input_px),
        "tile_output_px": list(output_px),
        "weights": plan_weights(counts, settings),
        "loss": settings.loss,
        "optimiser": settings.optimiser,
        "learning_rate": settings.learning_rate,
        "batch_tiles": settings.batch_tiles,
        "epochs": settings.epochs,
        "steps_per_epoch": settings.steps_per_epoch,
        "validation_tiles": settings.validation_tiles,
        "augmentation": asdict(Augmentation(**settings.augmentation)),
        "seed": settings.seed,
        "folds": plan_folds(
            [s.name for s in train], groups, [s.name for s in validation], settings.folds
        ),
        "slides": slides,
    }
