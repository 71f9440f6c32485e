"""What all scripts share: flags, exit codes, digests of what they were given."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from overtile import outputs
from overtile.errors import InputError
from overtile.settings.archive import Archive
from overtile.settings.flags import add_settings, number
from overtile.settings.ranges import ABOVE_0, Range
from overtile.stores.run_log import StepRun, running_step
from overtile.system_errors import describe

EXIT_BAD_INPUT = 1


def execute(
    parser: argparse.ArgumentParser,
    run: Callable[[argparse.Namespace], dict | None],
    arguments: Sequence[str] | None,
    into: str | None = None,
) -> int:
    """Parse, run, and turn bad input into one line on standard error and exit code 1.

    run: may return more facts for the record of this run. into: name of the flag with the store or
    folder that is written, where the record goes, and also to --record. An InputError may have an
    `exit_code` of its own. A wrong command line ends with exit code 2, by argparse. Anything else
    is a fault of the program and keeps its traceback.
    """
    add_record(parser)
    given = sys.argv[1:] if arguments is None else arguments
    _refuse_damaged_lists(parser, given)
    args = parser.parse_args(given)
    # OpenMP threads that spin while they wait make training 10 to 40 times slower as soon as
    # another process wants a core; sleeping costs nothing measurable on an idle machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        outputs.refuse_overwriting(parser, args, given)
        folder = _folder(getattr(args, into)) if into else None
        step_run = StepRun(folder, partial(_describe, run, given, _now()))
        with running_step(step_run):
            facts = run(args)
        _log_end(step_run, facts or {}, args.record)
    except InputError as error:
        print(f"{parser.prog}: {one_line(error)}", file=sys.stderr)
        return getattr(error, "exit_code", EXIT_BAD_INPUT)
    except OSError as error:
        print(f"{parser.prog}: {describe(error)}", file=sys.stderr)
        return EXIT_BAD_INPUT
    return 0


def _refuse_damaged_lists(parser: argparse.ArgumentParser, given: Sequence[str]) -> None:
    """End with exit code 2 for a file of arguments that is no text; argparse would go astray."""
    for word in map(str, given):
        if parser.fromfile_prefix_chars and word[:1] in parser.fromfile_prefix_chars:
            try:
                # As argparse reads it; one that is not there is its own to tell of.
                is_text = not Path(word[1:]).is_file() or "\0" not in Path(word[1:]).read_text()
            except UnicodeDecodeError:
                is_text = False
            if not is_text:
                parser.error(f"{word[1:]}: is not text, or is damaged; make it again")


def _folder(path: Path) -> Path:
    """The folder of a store or a fold."""
    from overtile.stores.store import store_path  # late: it imports zarr, which the step needs too

    return store_path(path)


def _describe(run: Callable, arguments: Sequence[str], started: str) -> dict:
    """What is known of a run from its beginning."""
    from overtile.provenance import describe_run  # late: it digests the code

    return describe_run(Path(run.__code__.co_filename), arguments, started)


def _log_end(step_run: StepRun, facts: dict, record: Path | None) -> None:
    """Leave the record of a run that went well."""
    if step_run.folder is None and record is None:
        return
    from overtile.provenance import log_end
    from overtile.stores.files import write_json

    run = {**(step_run.begun or step_run.describe()), "ended": _now(), **facts}
    if step_run.folder is not None:
        log_end(step_run.folder, run)
    if record is not None:
        write_json(record, run)


def _now() -> str:
    """The time of day in UTC to the millisecond, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def one_line(error: Exception) -> str:
    """The message of an exception without line breaks."""
    return " ".join(str(error).split())


def new_parser(name: str, description: str) -> argparse.ArgumentParser:
    """A parser whose help names defaults and keeps the description's lines."""
    return argparse.ArgumentParser(
        prog=name,
        description=description,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )


def add_record(parser: argparse.ArgumentParser) -> None:
    """Add --record, for all steps."""
    parser.add_argument(
        "--record",
        type=outputs.file(".json"),
        metavar="RUN.json",
        help="file to write a record of this run to",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add --device and --precision, for steps that run a network."""
    add_settings(parser, Archive, "device", "precision")
    add_threads(parser)


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add --threads, for steps that use more than one core."""
    parser.add_argument("--threads", type=at_least_one, default=2, help="processor threads")


positive = number(float, ABOVE_0)
not_negative = number(float, Range())
at_least_one = number(int, Range(1))
zero_or_more = number(int, Range())
"""Types of flags that are no settings."""


def path(text: str) -> Path:
    """An argparse type: a path."""
    return Path(text)
