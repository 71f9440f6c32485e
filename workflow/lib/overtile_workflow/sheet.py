"""Read and check the sheet of slides, once."""

import csv
import difflib
import os
import re
from dataclasses import dataclass, replace

from overtile_workflow.pictures import refuse_same_pictures
from overtile_workflow.settings import nearest

REQUIRED = ("slide", "image")
OPTIONAL = ("labels", "split", "group", "pixel_size_um", "mask")
SPLITS = ("train", "val", "test", "")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
FORBIDDEN = re.compile(r"[\x00-\x1f{}]")
MADE_HERE = re.compile(r"resources/demo/slide\d+(_labels)?\.ome\.tif")


@dataclass(frozen=True)
class Row:
    """One slide. image, labels, mask: paths; all but slide and image may be empty."""

    slide: str
    image: str
    labels: str = ""
    split: str = ""
    group: str = ""
    pixel_size_um: str = ""
    mask: str = ""


class Sheet(dict[str, Row]):
    """Rows by slide name. A name that is not there is an error that names the nearest."""

    def __init__(self, path: str):
        self._path = path

    def __missing__(self, slide: str) -> Row:
        close = difflib.get_close_matches(slide, self, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "add a row"
        raise ValueError(f"{self._path}: has no slide {slide!r}; {hint}")


def read_sheet(path: str, data: str) -> Sheet:
    """Rows by slide name, in the order of the file.

    path: a TSV file with a header. data: folder that relative picture paths start from. Raises
    ValueError with one line that names file, line, value found and value allowed.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; set the key 'slides' to your sheet") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: is not UTF-8 text; save the sheet as UTF-8 TSV") from None
    header = [name.strip() for name in lines[0]] if lines else []
    _check_header(path, header)
    rows = Sheet(path)
    for number, cells in enumerate(lines[1:], start=2):
        cells = [cell.strip() for cell in cells]
        if not any(cells) or cells[0].startswith("#"):
            continue
        where = f"{path}, line {number}"
        if len(cells) > len(header):
            raise ValueError(
                f"{where}: has {len(cells)} cells, but the header has "
                f"{len(header)}; correct the row"
            )
        cells += [""] * (len(header) - len(cells))
        row = Row(**dict(zip(header, cells, strict=True)))
        row = _check_row(where, row, data)
        if row.slide in rows:
            raise ValueError(f"{where}: slide {row.slide!r} is in two rows; rename or remove one")
        rows[row.slide] = row
    _check_groups(path, rows)
    refuse_same_pictures(path, rows.values())
    return rows


def _check_header(path: str, header: list[str]) -> None:
    known = (*REQUIRED, *OPTIONAL)
    for name in header:
        if name not in known:
            raise ValueError(f"{path}: unknown column {name!r}; {nearest(name, list(known))}")
        if header.count(name) > 1:
            raise ValueError(f"{path}: there are two columns {name!r}; remove one")
    for name in REQUIRED:
        if name not in header:
            raise ValueError(f"{path}: has no column {name!r}; add it, with tabs between columns")


def _check_row(where: str, row: Row, data: str) -> Row:
    if not NAME.fullmatch(row.slide):
        raise ValueError(
            f"{where}: slide name {row.slide!r} is not allowed; use letters, digits, '-', '_' and "
            "'.'; start with a letter or digit; at most 80 characters"
        )
    for column, value in vars(row).items():
        if len(value.splitlines()) > 1:
            raise ValueError(
                f"{where}: {column} {value!r} of slide {row.slide} contains a line break or "
                "another control character; remove it"
            )
    if row.split not in SPLITS:
        raise ValueError(
            f"{where}: split {row.split!r} of slide {row.slide} is not allowed; "
            "use train, val, test, or leave it empty"
        )
    if row.split and not row.labels:
        raise ValueError(
            f"{where}: slide {row.slide} has split {row.split!r} but no labels; "
            "add a labels file, or leave the split empty"
        )
    if row.group.startswith(("-", "@")):
        raise ValueError(
            f"{where}: group {row.group!r} of slide {row.slide} is not allowed; "
            "a group must not start with '-' or '@'; rename it"
        )
    if row.pixel_size_um and not _are_edges(row.pixel_size_um.split(" ")):
        raise ValueError(
            f"{where}: pixel_size_um {row.pixel_size_um!r} of slide {row.slide} is not allowed; "
            "give Y X or Z Y X in micrometres, above 0, separated by spaces"
        )
    image = _find(where, row.slide, "image", row.image, data)
    labels = _find(where, row.slide, "labels", row.labels, data) if row.labels else ""
    mask = _find(where, row.slide, "mask", row.mask, data) if row.mask else ""
    return replace(row, image=image, labels=labels, mask=mask)


def _are_edges(words: list[str]) -> bool:
    """Two or three plain numbers above 0."""
    if len(words) not in (2, 3) or not all(re.fullmatch(r"[0-9.eE+-]+", word) for word in words):
        return False
    try:
        return all(0 < float(word) < float("inf") for word in words)
    except ValueError:
        return False


def _find(where: str, slide: str, column: str, path: str, data: str) -> str:
    if not path:
        raise ValueError(f"{where}: slide {slide} has no {column}; add a file")
    if FORBIDDEN.search(path):
        raise ValueError(f"{where}: {column} {path!r} has braces or control characters; rename it")
    if MADE_HERE.fullmatch(path):
        return path
    full = os.path.normpath(os.path.join(data, path))
    if not os.path.isfile(full):
        raise ValueError(
            f"{where}: {column} of slide {slide}: no such file {full!r}; "
            "correct the path, or the key 'data' of the configuration"
        )
    return full


def _check_groups(path: str, rows: dict[str, Row]) -> None:
    """No group (patient, animal, plate) may be in two splits: scores would be too good."""
    first: dict[str, Row] = {}
    for row in rows.values():
        if not row.group or not row.split:
            continue
        other = first.setdefault(row.group, row)
        if other.split != row.split:
            raise ValueError(
                f"{path}: group {row.group!r} is in {other.split} (slide {other.slide}) and in "
                f"{row.split} (slide {row.slide}); move all its slides to one split"
            )
