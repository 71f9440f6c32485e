"""What a step writes, said by the type of its flags, so that it never writes over what it reads."""

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property, partial
from itertools import product
from pathlib import Path

from overtile.errors import InputError
from overtile.stores.journal import NAME
from overtile.stores.run_log import RUN_LOG

ROOT = "zarr.json"


@dataclass(frozen=True)
class Output:
    """An argparse type: a path that a step writes.

    endings: of a file's name, those allowed; none for a folder. parts: patterns of the names of
    what is written into a folder; all else in it is left alone. only_with: name of the argument
    without which the path is only read.
    """

    endings: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    only_with: str | None = None

    def __call__(self, text: str) -> Path:
        return Path(text)


STORE = Output(parts=(ROOT, NAME, RUN_LOG, "[0-9]*", "classes", "work"))
"""A store's folder, or its root file; other stores may lie inside under other names."""

FOLD = Output(parts=("*.json", "*.tsv", "*.pt", "*.safetensors"))
PACKAGE = Output(parts=("*.yaml", "*.md", "*.safetensors"))


def file(*endings: str, only_with: str | None = None) -> Output:
    """A file whose name has one of these endings."""
    return Output(endings, only_with=only_with)


READ_IN_FOLDERS = (".json", ".yaml", ".yml", "history.tsv")
"""Endings of files that steps look for in folders that they are given."""


@dataclass(frozen=True)
class Given:
    """A path of a command line."""

    flag: str
    path: Path

    @cached_property
    def real(self) -> Path:
        """The path without links; of a store its folder, also if its root file is given."""
        real = Path(os.path.realpath(self.path))
        return real.parent if real.name == ROOT else real


@dataclass(frozen=True)
class Written(Given):
    """A path that the step writes."""

    output: Output


def refuse_overwriting(
    parser: argparse.ArgumentParser, args: argparse.Namespace, command: Sequence[str]
) -> None:
    """Raise InputError if an output is, or would overwrite a part of, another path given.

    Paths are all arguments of type Path; those of the type `Output` are outputs. command: as it was
    before files of arguments were read, which are inputs, too. Also refused: endings that an output
    may not have, and outputs among the files of any finished store.
    """
    paths = [*_arguments(parser, args), *_files_of_arguments(parser, command)]
    written = [path for path in paths if isinstance(path, Written)]
    for harm in (_is_also, partial(_would_harm, step=parser.prog)):
        for output, other in product(written, paths):
            how = harm(output, other) if other is not output else ""
            if how:
                raise InputError(
                    f"{output.path}: {output.flag} {how} {other.flag} {other.path}; choose another "
                    "path"
                )
    for output in written:
        _refuse_parts_of_stores(output)
        _refuse_ending(output)


def _arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Iterator[Given]:
    for action in parser._actions:
        value = getattr(args, action.dest, None)
        output = action.type if isinstance(action.type, Output) else None
        if output and output.only_with and getattr(args, output.only_with) is None:
            output = None
        for path in value if isinstance(value, list) else [value]:
            if isinstance(path, Path):
                flag = action.option_strings[-1]
                yield Written(flag, path, output) if output else Given(flag, path)


def _files_of_arguments(parser: argparse.ArgumentParser, command: Sequence[str]) -> Iterator[Given]:
    for word in map(str, command):
        if parser.fromfile_prefix_chars and word[:1] in parser.fromfile_prefix_chars:
            yield Given("@FILE", Path(word[1:]))


def _is_also(output: Written, other: Given) -> str:
    """A verb if an output is another path, also by a hard link; else empty."""
    if output.real == other.real:
        return "is also"
    try:
        return "is also" if output.real.samefile(other.real) else ""
    except OSError:  # one is not there
        return ""


def _would_harm(output: Written, other: Given, step: str) -> str:
    """How an output would harm another path that it is not, as a verb; empty if it would not."""
    if _is_part(other.real, output.real, output.output.parts):
        return "would overwrite"
    is_inside = other.real in output.real.parents and not isinstance(other, Written)
    return "would overwrite a file in" if is_inside and _is_read(output, step) else ""


def _is_part(path: Path, folder: Path, parts: Sequence[str]) -> bool:
    if folder not in path.parents:
        return False
    name = path.relative_to(folder).parts[0]
    return any(fnmatch(name, part) for part in parts)


def _is_read(output: Written, step: str) -> bool:
    """Whether a file lies there that steps look for in folders, and not this step's own record."""
    name = output.real.name.lower()
    own = max((len(ending) for ending in output.output.endings if name.endswith(ending)), default=0)
    # A crate is no JSON file among others, and a history no table of scores: the longer one counts.
    is_looked_for = any(name.endswith(one) and len(one) >= own for one in READ_IN_FOLDERS)
    if not is_looked_for or not output.real.is_file():
        return False
    try:
        return json.loads(output.real.read_bytes())["script"] != step
    except (OSError, ValueError, LookupError, TypeError):
        return True


def _refuse_parts_of_stores(output: Written) -> None:
    # A file that is called like the root of a store does not stand for the store.
    target = Path(os.path.realpath(output.path)) if output.output.endings else output.real
    for folder in target.parents:
        # `labels` is a group of stores, whose names may be any.
        is_store = folder.name != "labels" and (folder / ROOT).is_file()
        if is_store and _is_part(target, folder, STORE.parts):
            raise InputError(
                f"{output.path}: {output.flag} would be inside the store {folder}; "
                "choose another path"
            )


def _refuse_ending(output: Written) -> None:
    endings = output.output.endings
    if endings and not output.path.name.lower().endswith(endings):
        raise InputError(
            f"{output.path}: {output.flag} is a file of an unknown kind; its name may end with "
            f"{', '.join(endings)}"
        )
