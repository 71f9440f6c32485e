"""The tables of the configuration's page, from its declaration: Markdown."""

from decimal import Decimal
from typing import Any

from overtile.settings.archive import Archive
from overtile.settings.configuration import Configuration, Model
from overtile.settings.declared import Section, Setting, Value, settings_of
from overtile.settings.schema import as_number

COLUMNS = ("key", "meaning", "unit", "allowed", "default")


def settings_tables() -> str:
    """One table per section, each under its name."""
    parts = [
        ("The archive", Archive),
        *((f"`{name}`", kind) for name, kind in _sections(Configuration)),
        ("`models`: each model by its name", Model),
        *((f"`{name}` of a model", kind) for name, kind in _sections(Model)),
    ]
    return "\n".join(f"## {title}\n\n{section_table(kind)}" for title, kind in parts)


def section_table(section: type[Section]) -> str:
    """What a section is, and a row for each of its settings."""
    about = (section.__doc__ or "").splitlines()[0]
    settings = settings_of(section).values()
    rows = [_row(one) for one in settings if not issubclass(one.value.kind, Section)]
    lines = [COLUMNS, ["---"] * len(COLUMNS), *rows]
    return f"{about}\n\n" + "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _sections(section: type[Section]) -> list[tuple[str, type[Section]]]:
    """The sections inside a section, by name."""
    return [
        (name, setting.value.kind)
        for name, setting in settings_of(section).items()
        if issubclass(setting.value.kind, Section)
    ]


def _row(setting: Setting) -> list[str]:
    default = "required" if setting.is_required else _shown(setting.default)
    cells = [setting.help, setting.unit, _allowed(setting.value), default]
    return [f"`{setting.name}`", *(cell.replace("|", "\\|") for cell in cells)]


def _allowed(value: Value) -> str:
    """Range, choices or pattern of a value, or of each value of a list, in words."""
    if value.items is not None:
        return _allowed(value.items)
    if value.kind is bool:
        return "true, false"
    if value.choices:
        return ", ".join(map(str, value.choices))
    return str(value.limit or "").removesuffix(", finite")


def _shown(default: Any) -> str:
    """A default as people write it in the file."""
    if default is None:
        return "none"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return f"[{', '.join(map(str, default))}]"
    if isinstance(default, float):
        return format(Decimal(str(as_number(default))), "f")  # YAML reads 1e-06 as a text
    return str(default)
