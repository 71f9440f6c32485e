"""Plain values of a file as typed declarations, each name, type and range checked."""

import difflib
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from reprlib import Repr
from types import UnionType
from typing import TypeVar, get_args, get_origin, get_type_hints

from overtile.errors import InputError
from overtile.settings.ranges import CHOICES, LONGEST_NAME, RANGES, Range, is_name

Kind = TypeVar("Kind")
_short = Repr()
_short.maxstring = _short.maxother = _short.maxlong = 60


def read_record(kind: type[Kind], values: object, where: str) -> Kind:
    """A dataclass from the plain values of a file: mappings, lists, texts, numbers.

    kind: its fields are int, float, str, bool, tuples of one type, other such dataclasses, or one
    of these and None. where: the file, for messages. Raises InputError with one line for an unknown
    or missing name, a value of another type, one that is not among the choices, or a number out of
    its range. A whole number for a float stays whole.
    """
    if not isinstance(values, dict):
        raise InputError(f"{where}: is {shown(values)}; allowed: keys with values")
    known, required = _declared(kind)
    for name in values:
        if name not in known:
            raise InputError(f"{where}: unknown key {shown(name)}; {_nearest(str(name), known)}")
    for name in required:
        if name not in values:
            raise InputError(f"{where}: key {name!r} is missing; add it")
    return kind(**{name: _read(known[name], v, name, where) for name, v in values.items()})


def to_plain(value: object) -> object:
    """Dataclasses as mappings and tuples as lists, at any depth: what a file can hold."""
    if is_dataclass(value):
        return {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}
    return [to_plain(one) for one in value] if isinstance(value, tuple) else value


def check_range(name: str, value: float, where: str) -> None:
    """Raise InputError, one line, for a number that a key cannot have."""
    allowed = RANGES.get(name, Range())
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


@cache
def _declared(kind: type) -> tuple[dict[str, object], tuple[str, ...]]:
    """Types of all fields of a dataclass by name, and the names of those without a default."""
    hints = get_type_hints(kind)
    required = [
        f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING
    ]
    return {f.name: hints[f.name] for f in fields(kind)}, tuple(required)


def _nearest(word: str, known: dict) -> str:
    close = difflib.get_close_matches(word[:LONGEST_NAME], known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"allowed: {', '.join(known)}"


def _read(wanted: object, value: object, name: str, where: str) -> object:
    """One value of a key, as its declared type."""
    if isinstance(wanted, UnionType):  # X | None
        if value is None:
            return None
        wanted = get_args(wanted)[0]
    if is_dataclass(wanted):
        if isinstance(value, wanted):  # read already, by a declaration that says more
            return value
        return read_record(wanted, value, f"{where}, {name}")
    if get_origin(wanted) is tuple:
        if not isinstance(value, list):
            raise InputError(f"{where}: {name} is {shown(value)}, not a list; correct it")
        inner = get_args(wanted)[0]
        if is_dataclass(inner):
            return tuple(read_record(inner, v, f"{where}, {name} {n}") for n, v in enumerate(value))
        return tuple(_read(inner, one, name, where) for one in value)
    return _scalar(wanted, value, name, where)


def _scalar(wanted: type, value: object, name: str, where: str) -> object:
    allowed = (int, float) if wanted is float else wanted
    if not isinstance(value, allowed) or (isinstance(value, bool) and wanted is not bool):
        hint = " (numbers like 1e-3 need a point: 1.0e-3)" if wanted in (int, float) else ""
        raise InputError(
            f"{where}: {name} is {shown(value)}, not {wanted.__name__}; correct it{hint}"
        )
    if value not in CHOICES.get(name, (value,)):
        raise InputError(f"{where}: {name} is {shown(value)}; allowed: {CHOICES[name]}")
    if wanted in (int, float):
        check_range(name, value, where)
    return value
