"""Settings and plans as plain values that do not change when one more setting is declared."""

from collections.abc import Collection
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from overtile.settings.declared import Section


def plain_values(value: Any, first: Collection[str]) -> Any:
    """Dataclasses as mappings and tuples as lists, without later fields that are their defaults.

    first: names of the fields, at any depth, that stand there in any case; see `Section.FIRST`.
    """
    if not is_dataclass(value):
        return [plain_values(one, first) for one in value] if isinstance(value, tuple) else value
    parts = ((f, getattr(value, f.name)) for f in fields(value))
    return {f.name: plain_values(v, first) for f, v in parts if f.name in first or v != _default(f)}


def key_values(settings: Section) -> dict[str, Any]:
    """Settings of a section as they stand in keys of results."""
    return plain_values(settings, settings.FIRST)


def _default(field: Field) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()
