"""Plain values of a file as typed declarations, each name, type and range checked."""

import difflib
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from reprlib import Repr
from typing import Any, TypeVar

from overtile.errors import InputError
from overtile.settings.declared import Value, settings_of
from overtile.settings.ranges import LONGEST_NAME, Range, is_name

Kind = TypeVar("Kind")
_short = Repr()
_short.maxstring = _short.maxother = _short.maxlong = 60


def read_record(kind: type[Kind], values: object, where: str) -> Kind:
    """A dataclass from the plain values of a file: mappings, lists, texts, numbers.

    kind: its fields are int, float, str, bool, tuples of one type, other such dataclasses, or one
    of these and None; see `settings.ranges` for what limits them. where: the file, for messages.
    Raises InputError with one line for an unknown or missing name, a value of another type, one
    that is not among the choices, or a number out of its range. A whole number for a float stays
    whole.
    """
    if not isinstance(values, dict):
        raise InputError(f"{where}: is {shown(values)}; allowed: keys with values")
    known = settings_of(kind)
    for name in values:
        if name not in known:
            raise InputError(f"{where}: unknown key {shown(name)}; {_nearest(str(name), known)}")
    for name, setting in known.items():
        if setting.is_required and name not in values:
            raise InputError(f"{where}: key {name!r} is missing; add it")
    return kind(**{name: _read(known[name].value, v, name, where) for name, v in values.items()})


def to_plain(value: Any) -> Any:
    """Dataclasses as mappings and tuples as lists, at any depth: what a file can hold."""
    if is_dataclass(value):
        return {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}
    return [to_plain(one) for one in value] if isinstance(value, tuple) else value


def check_range(name: str, value: float, allowed: Range, where: str) -> None:
    """Raise InputError, one line, for a number that is out of its range."""
    if value not in allowed:
        raise InputError(f"{where}: {name} is {shown(value)}; allowed: {allowed}")


def check_name(name: str, text: str, where: str) -> None:
    """Raise InputError, one line, for a text that can name no slide or class."""
    if not is_name(text):
        raise InputError(
            f"{where}: {name} has the name {shown(text)}; allowed: 1 to {LONGEST_NAME} printable "
            "characters, no space at either end"
        )


def shown(value: object) -> str:
    """A value for a message: one line, and short whatever it is."""
    try:
        return _short.repr(value)
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        return "a number of thousands of digits"


def _nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word[:LONGEST_NAME], known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"allowed: {', '.join(known)}"


def _read(wanted: Value, value: Any, name: str, where: str) -> Any:
    """One value of a key, as its declared type."""
    if wanted.is_optional and value is None:
        return None
    if is_dataclass(wanted.kind):
        if isinstance(value, wanted.kind):  # read already, by a declaration that says more
            return value
        return read_record(wanted.kind, value, f"{where}, {name}")
    if wanted.items is None:
        return _scalar(wanted, value, name, where)
    if not isinstance(value, list):
        raise InputError(f"{where}: {name} is {shown(value)}, not a list; correct it")
    if len(value) not in wanted.length:
        raise InputError(f"{where}: {name} has {len(value)} values; allowed: {wanted.length}")
    if is_dataclass(wanted.items.kind):
        inner = wanted.items.kind
        return tuple(read_record(inner, v, f"{where}, {name} {n}") for n, v in enumerate(value))
    return tuple(_read(wanted.items, one, name, where) for one in value)


def _scalar(wanted: Value, value: Any, name: str, where: str) -> Any:
    kind, is_number = wanted.kind, wanted.kind in (int, float)
    of_kind = isinstance(value, (int, float) if kind is float else kind)
    if not of_kind or (isinstance(value, bool) and kind is not bool):
        hint = " (numbers like 1e-3 need a point: 1.0e-3)" if is_number else ""
        raise InputError(
            f"{where}: {name} is {shown(value)}, not {kind.__name__}; correct it{hint}"
        )
    if wanted.choices and value not in wanted.choices:
        raise InputError(f"{where}: {name} is {shown(value)}; allowed: {wanted.choices}")
    if isinstance(wanted.limit, Range):
        check_range(name, value, wanted.limit, where)
    return value
