"""The JSON schema of the configuration, from its declaration."""

from dataclasses import is_dataclass
from typing import Any

from overtile.settings.configuration import Configuration, Model
from overtile.settings.declared import Section, Setting, Value, settings_of
from overtile.settings.ranges import LARGEST, Length, Pattern, Range

JSON_TYPES = {int: "integer", float: "number", str: "string", bool: "boolean", tuple: "array"}


def config_schema() -> dict:
    """The schema of config.yaml; the settings of a model stand in its $defs."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "overtile configuration",
        **section_schema(Configuration),
        "$defs": {"model": section_schema(Model)},
    }


def section_schema(section: type[Section]) -> dict:
    """A section as an object without other keys; from_the_start: see `Section.FIRST`."""
    settings = settings_of(section)
    required = [name for name, setting in settings.items() if setting.is_required]
    return {
        "type": "object",
        "additionalProperties": False,
        **({"required": required} if required else {}),
        "from_the_start": [name for name in settings if name in section.FIRST],
        "properties": {name: _setting_schema(setting) for name, setting in settings.items()},
    }


def as_number(value: Any) -> Any:
    """A number without a point where it is whole, as people write it; else the value itself.

    Commands and keys of results have held the schema's defaults like this from the start.
    """
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _setting_schema(setting: Setting) -> dict:
    schema = {"description": setting.text, **_value_schema(setting.value)}
    if not setting.is_required:
        schema["default"] = _default(setting.default)
    return schema


def _default(value: Any) -> Any:
    """A default as it stands in a file; a section's is filled in from those of its settings."""
    if is_dataclass(value):
        return {}
    return list(value) if isinstance(value, tuple) else as_number(value)


def _value_schema(value: Value) -> dict:
    if issubclass(value.kind, Section):
        return section_schema(value.kind)
    if value.names is not None:
        return {
            "type": "object",
            "minProperties": value.length.low,
            "propertyNames": _value_schema(value.names),
            "additionalProperties": {"$ref": "#/$defs/model"},
        }
    if value.choices:
        return {"enum": list(value.choices)}
    name = JSON_TYPES[value.kind]
    schema = {"type": [name, "null"] if value.is_optional else name}
    if value.items is not None:
        return {**schema, **_length(value.length), "items": _value_schema(value.items)}
    return {**schema, **_limits(value.limit)}


def _limits(limit: Range | Pattern | None) -> dict:
    if limit is None:
        return {}
    if isinstance(limit, Pattern):
        return {"pattern": limit.regex, "$comment": limit.words}
    limits = {}
    if limit.low > -LARGEST:
        limits["exclusiveMinimum" if limit.above else "minimum"] = as_number(limit.low)
    if limit.high < LARGEST:
        limits["exclusiveMaximum" if limit.below else "maximum"] = as_number(limit.high)
    return limits


def _length(length: Length) -> dict:
    limits = {"minItems": length.low, "maxItems": length.high, "uniqueItems": length.differ}
    return {name: limit for name, limit in limits.items() if limit}
