"""Score files: the values of all metrics, and how they are read again and checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from overtile.errors import InputError
from overtile.metrics.checks import read_count, read_number, read_setting
from overtile.metrics.metric import Comparison, Metric
from overtile.metrics.registry import METRICS, load_metrics
from overtile.stores.digest import is_unchanged
from overtile.stores.files import read_json


def measure_all(comparison: Comparison) -> dict[str, object]:
    """The values of all metrics, by key of a score file, in the order of the registry.

    Examples
    --------
    >>> import numpy as np
    >>> from overtile.metrics.counts import Agreement
    >>> agreement = Agreement(2)
    >>> agreement.add(*[np.array([[0, 1, 1]], np.uint8)] * 4)
    >>> measure_all(Comparison(agreement, ["background", "cell"], 0.5))["objects"]["f1"]
    1.0
    """
    values: dict[str, object] = {}
    for metric in load_metrics().values():
        values |= metric.measure(comparison)
    return values


@dataclass(frozen=True)
class ScoreFile:
    """What one score file says.

    scores: by column of scores.tsv, None where there was nothing to measure; a metric that is newer
    than the file has none. found, reference: numbers of objects. settings: what metrics were told.
    reference_digest, segmentation_digest: of the labels that were compared, None where the file
    does not say. is_sealed: written since classes are compared by their names.
    """

    path: Path
    slide: str
    model: str
    scores: dict[str, float | None]
    class_names: tuple[str, ...]
    found: int
    reference: int
    settings: dict[str, float]
    reference_digest: str | None
    segmentation_digest: str | None
    is_sealed: bool


def find_score_files(paths: Sequence[Path]) -> list[Path]:
    """Score files: those given, and `*.json` and `*/*.json` in folders given; each once."""
    found: dict[Path, Path] = {}
    for path in paths:
        inside = sorted([*path.glob("*.json"), *path.glob("*/*.json")]) if path.is_dir() else [path]
        for file in inside:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def read_score_file(path: Path) -> ScoreFile:
    """Read a file of evaluate.py.

    Raises
    ------
    InputError
        If it is something else, was changed, or has scores that its counts do not give.
    """
    values = read_json(path)
    try:
        score_file = _checked(path, values)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: not a score file, or damaged ({type(error).__name__}: {error}); delete it "
            "and make it again with scripts/evaluate.py"
        ) from None
    return score_file


def _checked(path: Path, values: dict) -> ScoreFile:
    """What a score file says; raises ValueError or what damaged values raise by themselves."""
    class_names = tuple(values["classes"])
    scores: dict[str, float | None] = {}
    settings: dict[str, float] = {}
    for metric in _measured(values):
        read = metric.read(values)
        for score in metric.scores:
            for column in score.columns(class_names):
                scores[column] = read_number(read[column], score.lowest, score.highest)
        settings |= {name: read_setting(read[name]) for name in metric.settings}
    if not is_unchanged(values):
        raise ValueError("it was changed after it was written")
    return ScoreFile(
        path,
        _text(values, "slide") or path.stem,
        _text(values, "model") or "segmentation",
        scores,
        class_names,
        read_count(values["objects"]["segmented"]),
        read_count(values["objects"]["reference"]),
        settings,
        _text(values, "reference"),
        _text(values, "segmentation"),
        "seal" in values,
    )


def _measured(values: Mapping) -> list[Metric]:
    """The metrics of a score file: those that are in every one, and others that it has."""
    return [
        metric
        for name, metric in load_metrics().items()
        if name in METRICS.always or not values.keys().isdisjoint(metric.keys)
    ]


def _text(values: Mapping, key: str) -> str | None:
    value = values.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{key} is {value!r}, not text")
    return value
