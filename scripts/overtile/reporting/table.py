"""scores.tsv: one row per slide and model, for spreadsheets and scripts."""

import csv
import io
from collections.abc import Sequence

from overtile.metrics.registry import table_scores
from overtile.reporting.inputs import Archive, Result

FORMULA_STARTS = ("=", "+", "-", "@")


def score_columns(archive: Archive) -> list[str]:
    """Columns of scores, in order."""
    return [c for score in table_scores() for c in score.columns(archive.class_names)]


def as_tsv(archive: Archive) -> str:
    """The table of all slides that were segmented.

    Empty cells: not known, not measured, or nothing to measure. A name that a spreadsheet would
    take for a formula begins with an apostrophe, one with quotes stands in quotes as in CSV.
    """
    names = score_columns(archive)
    header = ["slide", "model", "split", "objects", "objects_reference", *map(safe_cell, names)]
    rows = [_row(r, names) for r in archive.results if r.found is not None or r.scores]
    file = io.StringIO()
    csv.writer(file, delimiter="\t", lineterminator="\n").writerows([header, *rows])
    return file.getvalue()


def _row(result: Result, names: Sequence[str]) -> list[str]:
    texts = [result.slide.name, result.model, result.slide.split]
    numbers = [result.found, result.reference, *(result.scores.get(name) for name in names)]
    return [*map(safe_cell, texts), *("" if n is None else repr(n) for n in numbers)]


def safe_cell(text: str) -> str:
    """One cell of text: no line break or tab inside, no formula."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return f"'{line}" if line.lstrip(" '\"").startswith(FORMULA_STARTS) else line
