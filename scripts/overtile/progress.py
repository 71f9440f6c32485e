"""Progress of long work: a bar on a terminal, sparse lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

SECONDS_BETWEEN_LINES = 20
SECONDS_WORTH_A_LINE = 2


class Advance(Protocol):
    """Called once per finished piece of work."""

    def __call__(self, note: str = "") -> None:
        """note: a short text to show beside the bar, empty for none."""


@contextmanager
def progress(total: int, *, label: str, unit: str = "block", start: int = 0) -> Iterator[Advance]:
    """Show how much of `total` is done; the value yielded is called once per finished piece.

    start: pieces already done (by an earlier, interrupted try). May be called from any thread.
    """
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=total, initial=start, desc=label, unit=unit, dynamic_ncols=True) as bar:

            def advance(note: str = "") -> None:
                if note:
                    bar.set_postfix_str(note, refresh=False)
                bar.update()

            yield advance
        return

    done, began = start, time.monotonic()
    last_line = began

    def count(note: str = "") -> None:
        nonlocal done, last_line
        done += 1
        now = time.monotonic()
        is_last = done == total and now - began >= SECONDS_WORTH_A_LINE
        if is_last or now - last_line >= SECONDS_BETWEEN_LINES:
            last_line = now
            print(f"{label}: {done}/{total} {unit}s {note}".rstrip(), file=sys.stderr, flush=True)

    if start:
        print(f"{label}: {start}/{total} {unit}s were done already", file=sys.stderr, flush=True)
    yield count
