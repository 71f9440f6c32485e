"""What must fit together among settings, and what follows from several of them.

Plain values, and nothing but the standard library: the workflow reads this file too, without the
library. A fault is one line, or "" for none; `named` says how a setting is called where the user
wrote it.
"""

from collections.abc import Callable, Mapping, Sequence

Named = Callable[[str], str]


def flag(name: str) -> str:
    """How a setting is called on a command line."""
    return f"--{name.replace('_', '-')}"


def labels_fault(
    kind: str,
    classes: Sequence[str],
    values: Sequence[int] | None,
    ignore: int | None,
    named: Named,
) -> str:
    """What does not fit in the meaning of raw labels."""
    if kind != "semantic" and len(classes) != 2:
        return (
            f"{named('classes')}: has {len(classes)} names; allowed with kind {kind}: 2, "
            "background and one class"
        )
    if values and len(values) != len(classes):
        return (
            f"{named('values')}: has {len(values)} values for {len(classes)} classes; "
            "give one per class"
        )
    raw = list(values or range(len(classes)))
    if kind == "semantic" and len(set(raw)) != len(raw):
        return f"{named('values')}: is {raw}; each class needs a value of its own"
    if kind == "semantic" and ignore in raw:
        return f"{named('ignore')}: is {ignore}, which is also a class; choose another value"
    return ""


def thresholds_fault(threshold: float | None, seed_threshold: float | None, named: Named) -> str:
    """Seeds must lie inside the foreground."""
    if threshold is None or seed_threshold is None or seed_threshold > threshold:
        return ""
    return (
        f"{named('seed_threshold')}: is {seed_threshold}, but {named('threshold')} is {threshold}; "
        "it must be above the threshold"
    )


def tile_fault(ndim: int, tile_px: Sequence[int], named: Named = str) -> str:
    """A tile has one edge per axis of the network."""
    if len(tile_px) == ndim:
        return ""
    return (
        f"{named('tile_px')}: has {len(tile_px)} values, the network has {ndim} axes; give one "
        "edge per axis"
    )


def configuration_fault(config: Mapping) -> str:
    """What does not fit in a whole configuration whose defaults are filled in."""
    labels = {key: config["labels"][key] for key in ("kind", "classes", "values", "ignore")}
    thresholds = {key: config["segmentation"][key] for key in ("threshold", "seed_threshold")}
    faults = [
        labels_fault(**labels, named="labels.{}".format),
        thresholds_fault(**thresholds, named="segmentation.{}".format),
        *(
            tile_fault(model["ndim"], model["tile_px"], f"models.{name}.{{}}".format)
            for name, model in config["models"].items()
        ),
    ]
    if config["prediction"]["keep"] == "classes" and any(thresholds.values()):
        faults.append(
            "prediction.keep: is 'classes', but segmentation has a threshold; set keep to "
            "'probabilities', or leave out the thresholds"
        )
    return next(filter(None, faults), "")


def wanted_stages(segmentation: Mapping) -> list[str]:
    """Stages of segmentation that settings ask for; code of others has no part in the result."""
    wanted = {
        "flood": segmentation["seed_threshold"] is not None,
        "holes": segmentation["max_hole_px"] > 0,
        "gaps": segmentation["border_px"] > 0,
    }
    return [stage for stage, is_wanted in wanted.items() if is_wanted]
