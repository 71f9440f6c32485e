"""Score files of evaluate.py: read, and refused where their numbers contradict each other."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from overtile.errors import InputError
from overtile.geometry.dice import class_dice, foreground_mean
from overtile.stores.digest import is_unchanged
from overtile.stores.files import read_json

PARTITION_COLUMNS = {
    "rand": {"f1": "rand_f1", "split": "rand_split", "merge": "rand_merge"},
    "information": {
        "f1": "information_f1",
        "splits_bits": "splits_bits",
        "merges_bits": "merges_bits",
    },
}
ROUNDING = 1e-9


@dataclass(frozen=True)
class Score:
    """What one score file says.

    values: by column name of scores.tsv. found, reference: numbers of objects. reference_digest,
    segmentation_digest: of the labels that were compared, None where the file does not say.
    is_sealed: written since classes are compared by their names.
    """

    path: Path
    slide: str
    model: str
    values: dict[str, float | None]
    classes: tuple[str, ...]
    found: int
    reference: int
    iou_threshold: float
    reference_digest: str | None
    segmentation_digest: str | None
    is_sealed: bool


def find_scores(paths: Sequence[Path]) -> list[Path]:
    """Score files: those given, and `*.json` and `*/*.json` in folders given; each once."""
    found: dict[Path, Path] = {}
    for path in paths:
        inside = sorted([*path.glob("*.json"), *path.glob("*/*.json")]) if path.is_dir() else [path]
        for file in inside:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def read_score(path: Path) -> Score:
    """Read a file of evaluate.py; raise InputError if it is something else, or damaged."""
    values = read_json(path)
    try:
        score = Score(
            path,
            _text(values, "slide") or path.stem,
            _text(values, "model") or "segmentation",
            dict(_flatten(values)),
            tuple(values["classes"]),
            _count(values["objects"]["segmented"]),
            _count(values["objects"]["reference"]),
            _share(values["objects"]["iou_threshold"]),
            _text(values, "reference"),
            _text(values, "segmentation"),
            "seal" in values,
        )
        _refuse_contradictions(values)
        if not is_unchanged(values):
            raise ValueError("it was changed after it was written")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: not a score file, or damaged ({type(error).__name__}: {error}); delete it "
            "and make it again with scripts/evaluate.py"
        ) from None
    return score


def _flatten(values: dict) -> Iterator[tuple[str, float | None]]:
    """Scores by column name. The first class is the background; "dice" and "iou" leave it out."""
    classes = values["classes"]
    for kind in ("dice", "iou"):
        found = {name: _measured(scores[kind]) for name, scores in classes.items()}
        yield kind, foreground_mean(list(found.values()))
        yield from ((f"{kind}_{name}", value) for name, value in found.items())
    for name in ("f1", "precision", "recall"):
        yield name, _measured(values["objects"][name])
    yield "pixel_error", _measured(values["pixel_error"])
    for group, names in PARTITION_COLUMNS.items():
        part = values[group]
        for name, column in names.items():
            most = math.inf if name.endswith("bits") else 1
            yield column, None if part is None else _measured(part[name], most)


def _refuse_contradictions(values: dict) -> None:
    """Raise ValueError where scores are not those of the counts beside them."""
    objects = values["objects"]
    found, reference = _count(objects["segmented"]), _count(objects["reference"])
    matched = _count(objects["matched"])
    wanted = {
        "f1": _ratio(2 * matched, found + reference),
        "precision": _ratio(matched, found),
        "recall": _ratio(matched, reference),
    }
    for name, value in wanted.items():
        _refuse_other(f"objects: {name}", objects[name], value)
    rand = values["rand"]
    if rand is not None:
        either = rand["split"] + rand["merge"]
        product = 2 * rand["split"] * rand["merge"]
        _refuse_other("rand: f1", rand["f1"], product / either if either else 0.0)
    confusion = np.array([[_count(n) for n in row] for row in values["confusion"]], dtype=object)
    classes = list(values["classes"].items())
    if confusion.shape != (len(classes), len(classes)):
        raise ValueError(f"confusion of {len(confusion)} classes, but {len(classes)} have scores")
    total = int(confusion.sum())
    _refuse_other("pixels", values["pixels"], total)
    _refuse_other("pixel_error", values["pixel_error"], _ratio(total - confusion.trace(), total))
    for number, ((name, scores), dice) in enumerate(
        zip(classes, class_dice(confusion), strict=True)
    ):
        _refuse_other(f"{name}: dice", scores["dice"], dice)
        either = confusion[number].sum() + confusion[:, number].sum() - confusion[number, number]
        _refuse_other(f"{name}: iou", scores["iou"], _ratio(confusion[number, number], either))


def _refuse_other(name: str, found: float | None, wanted: float | None) -> None:
    both = None not in (found, wanted)
    if not (math.isclose(found, wanted, rel_tol=ROUNDING) if both else found is wanted):
        raise ValueError(f"{name} is {found!r}, but its counts give {wanted!r}")


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _text(values: dict, key: str) -> str | None:
    value = values.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{key} is {value!r} where text belongs")
    return value


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} where a number of objects or pixels belongs")
    return value


def _share(value: object) -> float:
    measured = _measured(value)
    if not measured:
        raise ValueError(f"{value!r} where a number above 0 belongs")
    return measured


def _measured(value: object, most: float = 1) -> float | None:
    """A score from 0 to `most`, or None where there was nothing to measure."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} where a number belongs")
    if not 0 <= value <= most or not math.isfinite(value):
        raise ValueError(f"{value!r} where a score belongs")
    return float(value)
