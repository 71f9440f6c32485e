"""Means over slides with their intervals, and the order of slides from worst to best."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from overtile.ingest.catalogue import SPLITS
from overtile.metrics.metric import Score
from overtile.metrics.registry import headlines, scores_to_show
from overtile.metrics.statistics import Estimate, estimate
from overtile.reporting.inputs import Archive, Result

SPLIT_NAMES = {"test": "test", "val": "validation", "train": "training", "": "all slides"}


@dataclass(frozen=True)
class Row:
    """The scores of one model on the slides of one split. estimates: by column of scores.tsv."""

    model: str
    split: str
    slides: int
    estimates: dict[str, Estimate]


def scored(archive: Archive, model: str, split: str) -> list[Result]:
    """Results of a model that were compared with a reference, in one split."""
    return [r for r in archive.results if r.model == model and r.slide.split == split and r.scores]


def splits_of(archive: Archive) -> list[str]:
    """Splits with scores, the one that tells most about new slides first."""
    present = {r.slide.split for r in archive.results if r.scores}
    return [split for split in SPLITS if split in present]


def summarise(archive: Archive) -> list[Row]:
    """One row per split and model that has scores."""
    return [
        Row(model, split, len(results), _estimates(archive, results))
        for split in splits_of(archive)
        for model in archive.models
        if (results := scored(archive, model, split))
    ]


def _estimates(archive: Archive, results: Sequence[Result]) -> dict[str, Estimate]:
    """Of the table of means, and of headlines."""
    found = {}
    for score in scores_to_show():
        if score.in_means or score.headline is not None:
            measured = [r for r in results if is_measured(score, r, archive.class_names)]
            unmeasured = len(results) - len(measured)
            for column in score.columns(archive.class_names):
                values = [r.scores.get(column) for r in measured]
                found[column] = estimate(values, unmeasured)
    return found


def is_measured(score: Score, result: Result, class_names: Sequence[str]) -> bool:
    """Whether a score file has a score; not where it is older than the score's metric."""
    return any(column in result.scores for column in score.columns(class_names))


def split_name(split: str) -> str:
    """Name of a split for readers."""
    return SPLIT_NAMES.get(split, split)


def shares_groups(archive: Archive) -> bool:
    """Whether some group has several slides, which are then not independent."""
    groups = Counter(slide.group for slide in archive.slides if slide.group)
    return any(count > 1 for count in groups.values())


def worst_first(results: Iterable[Result]) -> list[Result]:
    """Results by their headlines, the first one first; those without scores last.

    Equal ones stay in their order. Where there was nothing to measure comes after the best value.
    """
    scores = headlines()

    def badness(result: Result) -> tuple:
        values = [(score, result.scores.get(score.column)) for score in scores]
        ranks = [
            (value is None, (value or 0.0) * (1 if score.is_higher_better else -1))
            for score, value in values
        ]
        return not result.scores, ranks

    return sorted(results, key=badness)


def extremes(archive: Archive, model: str, each: int = 3) -> tuple[list[Result], list[Result]]:
    """The worst and the best results of a model, worst and best first, none in both.

    From the first split in which the first headline was measured, so that test slides come before
    others.
    """
    column = headlines()[0].column
    for split in splits_of(archive):
        ranked = [r for r in scored(archive, model, split) if r.scores.get(column) is not None]
        ranked = worst_first(sorted(ranked, key=lambda r: r.slide.name))
        if ranked:
            worst = min(each, (len(ranked) + 1) // 2)
            best = min(each, len(ranked) - worst)
            return ranked[:worst], ranked[::-1][:best]
    return [], []
