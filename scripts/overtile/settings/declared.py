"""Settings as they are declared: type, range or choices, default, unit and help of each field.

A section of the configuration is a frozen dataclass of kind `Section`, a setting one of its fields:

    sigma_px: Positive = setting(5.0, "Width of the border term.", unit="px")

From these fields follow the checks of files, the flags of scripts, the schema of the configuration
and the tables of its page. Standard library only: `--help` must answer at once.
"""

from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from overtile.settings.ranges import Length, Pattern, Range

REQUIRED: Any = MISSING
"""In place of a default."""

FROM_0 = Range()


class Section:
    """A section of the configuration.

    FIRST: its settings that stand in keys, commands and files in any case, as they did when the
    first archives were made. Any other stands there only if it is not its default: one more
    setting makes nothing run again. Who changes the default of a later one adds it to FIRST:
    results that were made by the old default must not pass for new ones.
    """

    FIRST: ClassVar[frozenset[str]] = frozenset()


@dataclass(frozen=True)
class Value:
    """What one value may be.

    kind: int, float, str, bool, tuple, dict or a dataclass. limit, choices: of a number or text.
    length, items: of a tuple or dict. names: of a dict.
    """

    kind: type
    is_optional: bool = False
    limit: Range | Pattern | None = None
    choices: tuple = ()
    length: Length = Length()
    items: "Value | None" = None
    names: "Value | None" = None


@dataclass(frozen=True)
class Setting:
    """One field of a section; default: REQUIRED without one."""

    name: str
    value: Value
    default: Any
    help: str
    unit: str

    @property
    def is_required(self) -> bool:
        """Whether it has no default."""
        return self.default is REQUIRED

    @property
    def text(self) -> str:
        """What it means, with its unit: for people who see no table."""
        return f"{self.help} Unit: {self.unit}." if self.unit else self.help


def setting(default: Any, help: str, unit: str = "") -> Any:
    """A field of a section. help: plain sentences, as they stand in tables and behind flags."""
    return field(default=default, metadata={"help": help, "unit": unit})


def settings_of(section: type) -> dict[str, Setting]:
    """The settings of a section, or the fields of any dataclass, by name and in their order."""
    return _settings_of(section)


@cache
def _settings_of(section: type) -> dict[str, Setting]:
    hints = get_type_hints(section, include_extras=True)
    return {
        f.name: Setting(
            f.name,
            value_of(hints[f.name]),
            f.default if f.default_factory is MISSING else f.default_factory(),
            f.metadata.get("help", ""),
            f.metadata.get("unit", ""),
        )
        for f in fields(section)
    }


def value_of(hint: Any, limits: tuple = (), is_optional: bool = False) -> Value:
    """What a type allows: int, Annotated[...], Literal[...], X | None, tuple[X, ...], dict."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return value_of(inner[0], (*limits, *hint.__metadata__), is_optional)
    if origin in (Union, UnionType):
        (other,) = (one for one in inner if one is not type(None))
        return value_of(other, limits, True)
    if origin is Literal:
        return Value(type(inner[0]), is_optional, choices=inner)
    length = next((one for one in limits if isinstance(one, Length)), Length())
    if origin is tuple:
        return Value(tuple, is_optional, length=length, items=value_of(inner[0]))
    if origin is dict:
        names, items = map(value_of, inner)
        return Value(dict, is_optional, length=length, names=names, items=items)
    without = FROM_0 if hint in (int, float) else None
    limit = next((one for one in limits if isinstance(one, Range | Pattern)), without)
    return Value(hint, is_optional, limit)
