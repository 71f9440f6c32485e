"""Check settings against a schema; errors are one line each and name the nearest key."""

import difflib
import re

import jsonschema
import yaml


def load_schema(path: str) -> dict:
    """Read a JSON schema written as YAML."""
    with open(path, encoding="utf-8") as file:
        return yaml.safe_load(file)


def check_settings(values: dict, schema: dict, where: str) -> dict:
    """Return the values with defaults filled in.

    where: the file to name in messages. Raises ValueError with one line that says what was found,
    what is allowed and, for an unknown key, which known one is nearest.
    """
    models = values.get("models") if isinstance(values, dict) else None
    if isinstance(models, dict):
        values["models"] = {name: {} if m is None else m for name, m in models.items()}
    validator = _filling_validator()(schema)
    for error in sorted(validator.iter_errors(values), key=lambda e: list(map(str, e.path))):
        raise ValueError(f"{where}: {explain(error)}")
    return values


def check_together(config: dict, where: str) -> None:
    """Check what no schema can say: that keys fit each other. Raises ValueError, one line."""
    labels = config["labels"]
    classes, values = labels["classes"], labels["values"]
    if labels["kind"] != "semantic" and len(classes) != 2:
        raise ValueError(
            f"{where}: labels.classes has {len(classes)} names, but kind {labels['kind']} has "
            "background and one class; name two, or use kind semantic"
        )
    if values and len(values) != len(classes):
        raise ValueError(
            f"{where}: labels.values has {len(values)} values for {len(classes)} classes; "
            "give one each"
        )
    if labels["kind"] == "semantic" and labels["ignore"] in (values or range(len(classes))):
        raise ValueError(
            f"{where}: labels.ignore is {labels['ignore']}, which is also a class; choose one"
        )
    _check_segmentation(config, where)
    for name, model in config["models"].items():
        if len(model["tile_px"]) != model["ndim"]:
            raise ValueError(
                f"{where}: models.{name}.tile_px has {len(model['tile_px'])} values, but ndim is "
                f"{model['ndim']}; give one edge per axis"
            )


def _check_segmentation(config: dict, where: str) -> None:
    threshold, seed = (config["segmentation"][key] for key in ("threshold", "seed_threshold"))
    if None not in (threshold, seed) and seed <= threshold:
        raise ValueError(
            f"{where}: segmentation.seed_threshold is {seed}, segmentation.threshold {threshold}; "
            "choose seeds above the threshold"
        )
    if config["prediction"]["keep"] == "classes" and (threshold, seed) != (None, None):
        raise ValueError(
            f"{where}: prediction.keep is 'classes', but segmentation has a threshold; "
            "keep probabilities, or leave thresholds out"
        )


def wanted_stages(segmentation: dict) -> list[str]:
    """Stages of segmentation that settings ask for; code of others has no part in the result."""
    wanted = {
        "flood": segmentation["seed_threshold"] is not None,
        "holes": segmentation["max_hole_px"] > 0,
        "gaps": segmentation["border_px"] > 0,
    }
    return [stage for stage, is_wanted in wanted.items() if is_wanted]


FROM_THE_START = {
    "": (
        *("title", "licence", "slides", "data", "labels", "device", "precision", "prediction"),
        *("segmentation", "evaluation", "models"),
    ),
    "labels": ("kind", "classes", "values", "ignore"),
    "prediction": (
        *("memory_gb", "block_px", "keep", "test_time_augmentation", "uncertainty"),
        *("background", "fill_value", "pixel_size"),
    ),
    "segmentation": (
        *("threshold", "seed_threshold", "min_seed_px", "grow_px", "max_hole_px", "border_px"),
        *("min_object_px", "min_object_um"),
    ),
    "evaluation": ("iou_threshold",),
    "model": (
        *("ndim", "width", "depth", "norm", "dropout", "tile_px", "batch_tiles", "epochs"),
        *("steps_per_epoch", "validation_tiles", "loss", "optimiser", "learning_rate", "w0"),
        *("sigma_px", "sigma_um", "border_tolerance", "separate_px", "folds", "seed"),
        *("package", "augmentation", "augmentation.elastic_px", "augmentation.rotation_degrees"),
        *("augmentation.flips", "augmentation.contrast", "augmentation.brightness"),
        "augmentation.noise",
    ),
}
"""Settings that stood in commands and parameters of rules when the first archives were made.

Whatever is not among them came later, and stands there only where it is not its default: one more
setting makes nothing run again. Who changes the default of a later one adds it here.
"""


def without_later_defaults(section: str, values: dict, schema: dict) -> dict:
    """Settings of a section, "model" for a model's, without later ones that are their defaults."""
    return _without(values, _section(section, schema), FROM_THE_START[section], "")


def as_from_the_start(config: dict, schema: dict) -> dict:
    """A whole configuration without later settings that are their defaults."""
    kept = {}
    for name, value in config.items():
        if name == "models":
            models = {of: without_later_defaults("model", v, schema) for of, v in value.items()}
            kept[name] = models
        elif name in FROM_THE_START:
            kept[name] = without_later_defaults(name, value, schema)
        elif name in FROM_THE_START[""] or value != schema["properties"][name].get("default"):
            kept[name] = value
    return kept


def later_flags(section: str, values: dict, schema: dict) -> list[str]:
    """A script's flags for the later settings of a section that are not their defaults.

    A switch is named where it is on.
    """
    kept = without_later_defaults(section, values, schema)
    words: list[str] = []
    for name, value in kept.items():
        if name not in FROM_THE_START[section] and value is not False and value is not None:
            words.append(f"--{name.replace('_', '-')}")
            values = value if isinstance(value, list) else [value]
            words += [] if value is True else map(str, values)
    return words


def _section(name: str, schema: dict) -> dict:
    return schema["$defs"]["model"] if name == "model" else schema["properties"][name]


def _without(values: dict, schema: dict, first: tuple[str, ...], prefix: str) -> dict:
    kept = {}
    for name, value in values.items():
        part = schema["properties"][name]
        if prefix + name not in first and value == part.get("default"):
            continue
        is_group = isinstance(value, dict)
        kept[name] = _without(value, part, first, f"{prefix}{name}.") if is_group else value
    return kept


def explain(error: jsonschema.ValidationError) -> str:
    """One line for one violation."""
    place = ".".join(map(str, error.absolute_path))
    inside = f" in {place}" if place else ""
    if error.validator == "additionalProperties":
        allowed = list(error.schema.get("properties", {}))
        unknown = next(key for key in error.instance if key not in allowed)
        return f"unknown key {unknown!r}{inside}; {nearest(str(unknown), allowed)}"
    if error.validator == "required":
        missing = re.findall(r"'([^']+)' is a required", error.message)[0]
        return f"key {missing!r} is missing{inside}; add it"
    if error.validator in ("propertyNames", "pattern"):
        return (
            f"name {error.instance!r}{inside} is not allowed; use letters, digits, '-', '_' and "
            "'.', beginning with a letter or digit, at most 80"
        )
    meaning = error.schema.get("description", "see config/README.md")
    hint = ""
    if error.validator == "type" and re.fullmatch(r"[\d.]+e-?\d+", str(error.instance)):
        hint = "; YAML reads this as text: write a point, as in 1.0e-3"
    return (
        f"{place or 'the whole'} is {error.instance!r}: {error.message}{hint}; meaning: {meaning}"
    )


def nearest(word: str, allowed: list[str]) -> str:
    """A hint towards the known word that looks most like an unknown one."""
    close = difflib.get_close_matches(word, allowed, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"allowed: {', '.join(allowed)}"


def _filling_validator():
    """A validator that fills in defaults, before it looks inside."""
    base = jsonschema.Draft202012Validator
    check_properties = base.VALIDATORS["properties"]

    def fill(validator, properties, instance, schema):
        if isinstance(instance, dict):
            for name, part in properties.items():
                if "default" in part and instance.get(name) is None:
                    instance[name] = _copy(part["default"])
        yield from check_properties(validator, properties, instance, schema)

    return jsonschema.validators.extend(base, {"properties": fill})


def _copy(value):
    return yaml.safe_load(yaml.safe_dump(value)) if isinstance(value, (dict, list)) else value
