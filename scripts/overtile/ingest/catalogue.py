"""The sheet of slides, as the workflow reads it."""

import csv
from dataclasses import dataclass
from pathlib import Path

from overtile.errors import InputError
from overtile.stores.store import Store

PREDICT_ONLY = "predict only"
UNKNOWN = ""
SPLITS = ("test", "val", UNKNOWN, PREDICT_ONLY, "train")


@dataclass(frozen=True)
class Slide:
    """One slide of the archive. split: of the sheet; group: patient, animal or plate.

    has_labels: whether the sheet names reference labels; True where there is no sheet.
    """

    name: str
    split: str = UNKNOWN
    group: str = ""
    has_labels: bool = True
    store: Store | None = None


def read_sheet(path: Path) -> list[Slide]:
    """Slides of a TSV with at least the column slide, in its order."""
    slides: dict[str, Slide] = {}
    for row in _sheet_rows(path):
        name, split = row["slide"], row.get("split") or PREDICT_ONLY
        if split not in SPLITS:
            raise InputError(
                f"{path}: slide {name} has split {split!r}; allowed: train, val, test, or empty"
            )
        if name in slides:
            raise InputError(f"{path}: slide {name!r} is in two rows; remove one")
        slides[name] = Slide(name, split, row.get("group", ""), bool(row.get("labels")))
    return list(slides.values())


def _sheet_rows(path: Path) -> list[dict[str, str]]:
    """Rows by column name, read as the workflow reads them: no quotes, `#` begins a comment."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give the sheet of slides") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a sheet of slides ({error}); save it as TSV") from None
    header = [name.strip() for name in lines[0]] if lines else []
    if "slide" not in header:
        raise InputError(f"{path}: has no column slide; save it as TSV")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        cells = [cell.strip() for cell in line]
        if not any(cells) or cells[0].startswith("#"):
            continue
        if len(cells) > len(header):
            raise InputError(
                f"{path}, line {number}: has {len(cells)} cells, but the header has "
                f"{len(header)}; correct the row"
            )
        cells += [""] * (len(header) - len(cells))
        rows.append(dict(zip(header, cells, strict=True)))
    return rows
