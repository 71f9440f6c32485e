"""Check settings against a schema; errors are one line each and name the nearest key."""

import difflib
import re
import runpy
from collections.abc import Sequence
from pathlib import Path

import jsonschema
import yaml

_SETTINGS = Path(__file__).parents[3] / "scripts" / "overtile" / "settings"
# A file of the library that needs nothing else: no rule imports the library.
_TOGETHER = runpy.run_path(str(_SETTINGS / "together.py"))
wanted_stages = _TOGETHER["wanted_stages"]


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
    fault = _TOGETHER["configuration_fault"](config)
    if fault:
        raise ValueError(f"{where}: {fault}")


def check_families(models: dict, families: Sequence[str], where: str) -> None:
    """Check the kinds of networks that are trained here. Raises ValueError, one line."""
    for name, model in models.items():
        family = model["family"]
        if model["package"] is None and family not in families:
            raise ValueError(
                f"{where}: models.{name}.family is {family!r}; {nearest(family, list(families))}"
            )


def without_later_defaults(section: str, values: dict, schema: dict) -> dict:
    """Settings of a section, "model" for a model's, without later ones that are their defaults.

    Those that there were from the start stay: the schema names them.
    """
    return _without(values, _section(section, schema))


def as_from_the_start(config: dict, schema: dict) -> dict:
    """A whole configuration without later settings that are their defaults."""
    models = config["models"].items()
    kept = {name: without_later_defaults("model", model, schema) for name, model in models}
    return {**_without(config, schema), "models": kept}


def later_flags(section: str, values: dict, schema: dict) -> list[str]:
    """A script's flags for the later settings of a section that are not their defaults.

    A switch is named where it is on.
    """
    first = _section(section, schema)["from_the_start"]
    words: list[str] = []
    for name, value in without_later_defaults(section, values, schema).items():
        if name not in first and value is not False and value is not None:
            words.append(f"--{name.replace('_', '-')}")
            given = value if isinstance(value, list) else [value]
            words += [] if value is True else map(str, given)
    return words


def _section(name: str, schema: dict) -> dict:
    return schema["$defs"]["model"] if name == "model" else schema["properties"][name]


def _without(values: dict, schema: dict) -> dict:
    kept = {}
    for name, value in values.items():
        part = schema["properties"][name]
        value = _without(value, part) if "properties" in part else value
        if name in schema["from_the_start"] or value != part.get("default"):
            kept[name] = value
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
        allowed = error.schema["$comment"]
        return f"name {error.instance!r}{inside} is not allowed; allowed: {allowed}"
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
