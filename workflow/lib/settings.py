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
    validator = _filling_validator()(schema)
    for error in sorted(validator.iter_errors(values), key=lambda e: list(map(str, e.path))):
        raise ValueError(f"{where}: {explain(error)}")
    return values


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
    allowed = error.schema.get("description", "see config/README.md")
    return f"{place or 'the whole'} is {error.instance!r}: {error.message}; meaning: {allowed}"


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
