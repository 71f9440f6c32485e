"""Settings and plans as plain values that do not change when one more setting is declared."""

from collections.abc import Collection
from dataclasses import MISSING, Field, fields, is_dataclass


def plain_values(value: object, first: Collection[str]) -> object:
    """Dataclasses as mappings and tuples as lists, without later fields that are their defaults.

    first: names of the fields, at any depth, that stand there in any case, as they did from the
    start. Who changes the default of a later one adds its name: results that were made by the old
    default must not pass for new ones.
    """
    if not is_dataclass(value):
        return [plain_values(one, first) for one in value] if isinstance(value, tuple) else value
    parts = ((f, getattr(value, f.name)) for f in fields(value))
    return {f.name: plain_values(v, first) for f, v in parts if f.name in first or v != _default(f)}


def key_values(settings: object) -> dict:
    """Settings as they stand in keys of results; their attribute FIRST names the first ones."""
    return plain_values(settings, type(settings).FIRST)


def _default(field: Field) -> object:
    return field.default if field.default_factory is MISSING else field.default_factory()
