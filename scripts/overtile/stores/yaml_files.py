"""YAML files from people and from elsewhere: read within limits, as plain values only."""

from collections import Counter
from pathlib import Path

from overtile.errors import InputError
from overtile.stores.files import write_text

MOST_BYTES = 128 * 2**20
"""A plan of 100,000 slides has about 60 MB."""

DEEPEST = 20
"""Lists and mappings inside each other; a plan has four."""

TAG = "tag:yaml.org,2002:"
PLAIN = tuple(TAG + name for name in ("str", "int", "float", "bool", "null"))


class _Refused(Exception):
    """What YAML allows and this project does not."""


def read_yaml(path: Path) -> dict:
    """Read a YAML file that holds a mapping; raise InputError, one line, if it is anything else.

    Values are mappings, lists, texts, numbers, booleans and null. Refused are names for parts of
    the file (&name, *name), with which a short file becomes huge, keys given twice, nesting deeper
    than DEEPEST, and files larger than MOST_BYTES.
    """
    import yaml

    text = _read_text(Path(path))
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
        value = _read_document(loader)
    except (yaml.YAMLError, _Refused) as error:
        raise InputError(f"{path}: not YAML: {' '.join(str(error).split())}; correct it") from None
    if not isinstance(value, dict):
        raise InputError(
            f"{path}: holds {type(value).__name__}; allowed: keys with values; correct it"
        )
    return value


def write_yaml(path: Path, value: dict) -> None:
    """Write YAML atomically, keys in the order given; no part is written as a name of another."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            return True

    write_text(path, yaml.dump(value, Dumper=Dumper, sort_keys=False, width=100))


def _read_text(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise InputError(f"{path}: has more than {MOST_BYTES:,} bytes; allowed: up to that")
        return data.decode("utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; make it first") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not YAML: {error}; correct it") from None


def _read_document(loader) -> object:
    """The value of the one document, built event by event: no nesting exhausts the stack."""
    from yaml import events

    opened: list[list] = [[]]  # what was found in each list and mapping that has not ended
    ended = False
    while loader.check_event():
        event = loader.get_event()
        if isinstance(event, events.NodeEvent):
            _refuse_special(event, len(opened))
        if isinstance(event, events.ScalarEvent):
            opened[-1].append(_scalar(loader, event))
        elif isinstance(event, events.CollectionStartEvent):
            opened.append([])
        elif isinstance(event, events.SequenceEndEvent):
            opened[-2].append(opened.pop())
        elif isinstance(event, events.MappingEndEvent):
            opened[-2].append(_mapping(opened.pop(), event))
        elif isinstance(event, events.DocumentStartEvent) and ended:
            raise _Refused(f"a second document begins {_place(event)}")
        ended = ended or isinstance(event, events.DocumentEndEvent)
    return opened[0][0] if opened[0] else None


def _refuse_special(event, depth: int) -> None:
    import yaml

    if event.anchor is not None:
        raise _Refused(
            f"has an anchor or alias (&{event.anchor} or *{event.anchor}) {_place(event)}; "
            "write the values in full"
        )
    if depth > DEEPEST:
        raise _Refused(f"is nested deeper than {DEEPEST} {_place(event)}")
    tag = getattr(event, "tag", None) or "!"
    if tag not in ("!", *(PLAIN if isinstance(event, yaml.ScalarEvent) else ())):
        raise _Refused(f"has the tag {tag[:60]} {_place(event)}; allowed: plain values")


def _scalar(loader, event) -> object:
    """The value of a text, number, boolean or null."""
    import yaml

    tag = event.tag
    if tag in (None, "!"):
        tag = loader.resolve(yaml.ScalarNode, event.value, event.implicit)
    if tag == TAG + "str":
        return event.value
    if tag not in PLAIN:
        kind = tag.removeprefix(TAG)
        raise _Refused(f"has the {kind} {event.value[:60]} {_place(event)}; put it in quotes")
    node = yaml.ScalarNode(tag, event.value, event.start_mark, event.end_mark)
    try:
        return loader.yaml_constructors[tag](loader, node)
    except (ValueError, LookupError):
        kind = tag.removeprefix(TAG)
        raise _Refused(f"{event.value[:60]!r} is not a valid {kind} {_place(event)}") from None


def _mapping(found: list, event) -> dict:
    """Keys and values, which come in turn, as a mapping."""
    keys = found[::2]
    if any(not isinstance(key, str) for key in keys):
        raise _Refused(
            f"has a key that is not text; its block ends {_place(event)}; put it in quotes"
        )
    values = dict(zip(keys, found[1::2], strict=True))
    if len(values) < len(keys):
        twice = Counter(keys).most_common(1)[0][0]
        raise _Refused(f"has the key {twice[:60]!r} twice; its block ends {_place(event)}")
    return values


def _place(event) -> str:
    return f"in line {event.start_mark.line + 1}"
