"""Flags of scripts from declared settings, and the typed settings back from what was given."""

import argparse
from collections.abc import Callable
from typing import Any, TypeVar

from overtile.settings.declared import Section, Setting, Value, settings_of
from overtile.settings.ranges import Range
from overtile.settings.together import flag

Kind = TypeVar("Kind", bound=Section)


def add_settings(
    parser: argparse._ActionsContainer,
    section: type[Section],
    *names: str,
    are_optional: bool = False,
    limit: Range | None = None,
    also: str | None = None,
) -> None:
    """Add a flag for each setting of a section, or for those that are named.

    parser: or a group of one. are_optional: a flag that is not given is None; for settings that
    count only beside another flag. limit: a narrower range than the configuration's. also: what
    the flag was called before.
    """
    for setting in settings_of(section).values():
        if not names or setting.name in names:
            parser.add_argument(
                *filter(None, [flag(setting.name), also]),
                help=setting.text.replace("%", "%%"),
                **_how_to_read(setting, are_optional, limit),
            )


def settings_from(args: argparse.Namespace, section: type[Kind]) -> Kind:
    """The settings of a section from a parsed command line; defaults for what is not given."""
    given = {name: value for name, value in vars(args).items() if value is not None}
    return section(
        **{
            name: tuple(given[name]) if isinstance(given[name], list) else given[name]
            for name in settings_of(section)
            if name in given
        }
    )


def number(kind: type, limit: Range) -> Callable[[str], float]:
    """An argparse type: a number within a range."""

    def convert(text: str) -> float:
        value = kind(text)
        if value not in limit:
            raise argparse.ArgumentTypeError(f"is {text}; allowed: {limit}")
        return value

    convert.__name__ = kind.__name__  # argparse tells it where the text is no number at all
    return convert


def _how_to_read(setting: Setting, is_optional: bool, limit: Range | None) -> dict[str, Any]:
    """What argparse must know of a flag."""
    value = setting.value
    if value.kind is bool:
        if setting.default is not False:
            raise TypeError(f"{setting.name}: is on by default; a flag can only switch on")
        return {"action": "store_true"}
    known: dict[str, Any] = {"required": setting.is_required and not is_optional}
    if not (setting.is_required or is_optional):
        known["default"] = setting.default
    if value.items is None:
        return known | _one(value, limit)
    return known | {"nargs": "+"} | _one(value.items, limit)


def _one(value: Value, limit: Range | None) -> dict[str, Any]:
    """What argparse must know of a single value."""
    if value.choices:
        return {"type": value.kind, "choices": value.choices}
    if isinstance(value.limit, Range):
        return {"type": number(value.kind, limit or value.limit)}
    return {"type": value.kind}
