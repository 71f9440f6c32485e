"""What the report is made of: score files, the sheet of slides, and counts kept in stores."""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from overtile.errors import InputError
from overtile.geometry.dice import foreground_mean
from overtile.stores.files import read_json
from overtile.stores.store import ROOT, Store

PREDICT_ONLY = "predict only"
UNKNOWN = ""
SPLITS = ("test", "val", UNKNOWN, PREDICT_ONLY, "train")


@dataclass(frozen=True)
class Slide:
    """One slide of the archive. split: of the sheet; group: patient, animal or plate."""

    name: str
    split: str = UNKNOWN
    group: str = ""
    store: Store | None = None


@dataclass(frozen=True)
class Result:
    """One slide as one model segmented it.

    found, reference: numbers of objects, None where not known. scores: by column name of
    scores.tsv, None where there was nothing to measure; empty without a reference. seams: steps
    between pixels across tile borders over those inside tiles, None with one tile. left_out: share
    of tiles that held only background and were not computed.
    """

    slide: Slide
    model: str
    found: int | None = None
    reference: int | None = None
    scores: dict[str, float | None] = field(default_factory=dict)
    seams: float | None = None
    left_out: float = 0.0


@dataclass(frozen=True)
class Archive:
    """All slides in the sheet's order, all models, and a result for each pair of them.

    iou_thresholds: from which intersection over union on objects match, as the score files say.
    """

    slides: tuple[Slide, ...]
    models: tuple[str, ...]
    results: tuple[Result, ...]
    classes: tuple[str, ...]
    reference_name: str = "reference"
    iou_thresholds: tuple[float, ...] = ()


@dataclass(frozen=True)
class Score:
    """What one score file says."""

    path: Path
    slide: str
    model: str
    values: dict[str, float | None]
    classes: tuple[str, ...]
    found: int
    reference: int
    iou_threshold: float


def load_archive(
    scores: Sequence[Path],
    sheet: Path | None,
    stores: Path | None,
    models: Sequence[str],
    reference_name: str,
) -> Archive:
    """Bring scores, sheet and stores together.

    scores: files, or folders of them. sheet: restricts to its slides. stores: folder of
    `{slide}.ome.zarr`. models: names that come first; without any name, label stores are models.
    Raises InputError for a file that is not what it should be, or if there is no slide at all.
    """
    read = [read_score(path) for path in find_scores(scores)]
    found = _find_stores(stores)
    slides = read_sheet(sheet) if sheet else _slides_of(read, found)
    slides = tuple(Slide(s.name, s.split, s.group, found.get(s.name)) for s in slides)
    if not slides:
        raise InputError("report: no slides found; give --scores, --slides or --sheet")
    kept = _by_pair(read, {slide.name for slide in slides})
    labels = {s.name: label_stores(s.store) for s in slides}
    names = list(dict.fromkeys([*models, *(s.model for s in kept.values())]))
    if not names:
        names = sorted({name for own in labels.values() for name in own} - {reference_name})
    results = tuple(
        _result(slide, model, kept.get((slide.name, model)), labels[slide.name], reference_name)
        for slide in slides
        for model in names
    )
    classes = dict.fromkeys(name for s in kept.values() for name in s.classes)
    thresholds = tuple(sorted({s.iou_threshold for s in kept.values()}))
    return Archive(slides, tuple(names), results, tuple(classes), reference_name, thresholds)


def find_scores(paths: Sequence[Path]) -> list[Path]:
    """Score files: those given, and `*.json` and `*/*.json` in folders given; each once."""
    found: dict[Path, Path] = {}
    for path in paths:
        inside = sorted([*path.glob("*.json"), *path.glob("*/*.json")]) if path.is_dir() else [path]
        for file in inside:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def read_score(path: Path) -> Score:
    """Read a file of evaluate.py; raise InputError if it is something else."""
    values = read_json(path)
    try:
        objects = values["objects"]
        return Score(
            path,
            str(values.get("slide") or path.stem),
            str(values.get("model") or "segmentation"),
            dict(_flatten(values)),
            tuple(values["classes"]),
            int(objects["segmented"]),
            int(objects["reference"]),
            float(objects["iou_threshold"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: not a score file ({type(error).__name__}: {error}); "
            "make it with scripts/evaluate.py"
        ) from None


def _flatten(values: dict) -> Iterator[tuple[str, float | None]]:
    """Scores by column name. The first class is the background; "dice" and "iou" leave it out."""
    classes = values["classes"]
    for kind in ("dice", "iou"):
        yield kind, foreground_mean([_number(c[kind]) for c in classes.values()])
        for name, scores in classes.items():
            yield f"{kind}_{name}", _number(scores[kind])
    for name in ("f1", "precision", "recall"):
        yield name, _number(values["objects"][name])
    yield "pixel_error", _number(values["pixel_error"])
    for group, names in {
        "rand": {"f1": "rand_f1", "split": "rand_split", "merge": "rand_merge"},
        "information": {
            "f1": "information_f1",
            "splits_bits": "splits_bits",
            "merges_bits": "merges_bits",
        },
    }.items():
        part = values[group]
        for name, column in names.items():
            yield column, None if part is None else _number(part[name])


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} where a number belongs")
    return float(value)


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
            raise InputError(f"{path}: slide {name!r} stands there twice; remove one row")
        slides[name] = Slide(name, split, row.get("group", ""))
    return list(slides.values())


def _sheet_rows(path: Path) -> list[dict[str, str]]:
    """Rows by column name, read as the workflow reads them: no quotes, `#` begins a comment."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give the sheet of slides") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
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
                f"{path}, line {number}: has {len(cells)} cells for {len(header)} columns; mend it"
            )
        cells += [""] * (len(header) - len(cells))
        rows.append(dict(zip(header, cells, strict=True)))
    return rows


def _find_stores(folder: Path | None) -> dict[str, Store]:
    if folder is None:
        return {}
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the one with the slides' stores")
    stores = [Store.open(root, "picture") for root in sorted(folder.glob(f"*.ome.zarr/{ROOT}"))]
    return {store.name: store for store in stores}


def label_stores(store: Store | None) -> dict[str, Store]:
    """The finished label stores inside a slide's store, by name."""
    if store is None:
        return {}
    roots = sorted((store.path / "labels").glob(f"*/{ROOT}"))
    return {root.parent.name: Store.open(root) for root in roots}


def _slides_of(scores: Sequence[Score], stores: dict[str, Store]) -> list[Slide]:
    return [Slide(name) for name in sorted({s.slide for s in scores} | set(stores))]


def _by_pair(scores: Sequence[Score], names: set[str]) -> dict[tuple[str, str], Score]:
    kept: dict[tuple[str, str], Score] = {}
    for score in scores:
        if score.slide not in names:
            continue
        other = kept.setdefault((score.slide, score.model), score)
        if other is not score:
            raise InputError(
                f"{score.path}: slide {score.slide!r}, model {score.model!r} is also in "
                f"{other.path}; give one of them"
            )
    return kept


def _result(
    slide: Slide, model: str, score: Score | None, labels: dict[str, Store], reference_name: str
) -> Result:
    """Counts of the stores, which hold the whole slide; else those of the score file."""
    own, reference = labels.get(model), labels.get(reference_name)
    prediction = own.attributes.get("prediction") if own else None
    seams, left_out = None, 0.0
    if prediction:
        seams = prediction["seams"]["score"]
        left_out = 1 - prediction["tiles_computed"] / max(1, prediction["tiles"])
    return Result(
        slide,
        model,
        own.attributes.get("objects") if own else score and score.found,
        reference.attributes.get("objects") if reference else score and score.reference,
        score.values if score else {},
        seams,
        left_out,
    )
