"""Scores as the page shows them: columns of tables, cells, and what each metric says."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from overtile.metrics.metric import Metric, Score
from overtile.metrics.registry import metrics_to_show, scores_to_show
from overtile.metrics.statistics import Estimate
from overtile.reporting.inputs import Archive, Result
from overtile.reporting.summary import is_measured

NOTHING, NOT_MEASURED = "–", "not measured"


def score_text(value: float | None) -> str:
    """A score with three digits, or a dash."""
    return NOTHING if value is None else f"{value:.3f}"


def mean_text(estimate: Estimate) -> str:
    """The mean of a score, or that no slide was measured."""
    is_unknown = estimate.unmeasured and not estimate.n + estimate.missing
    return NOT_MEASURED if is_unknown else score_text(estimate.mean)


def score_cell(class_names: Sequence[str], result: Result, score: Score, column: str) -> str:
    """The score of a slide in a column of scores.tsv."""
    if result.scores and not is_measured(score, result, class_names):
        return NOT_MEASURED
    return score_text(result.scores.get(column))


def interval_text(estimate: Estimate) -> str:
    """The 95 % interval of a mean, or why there is none."""
    if estimate.low is None or estimate.high is None:
        return f"n = {estimate.n}: too few slides for an interval"
    return f"{estimate.low:.3f}\u2013{estimate.high:.3f}"


def mean_columns(archive: Archive) -> dict[str, str]:
    """The title of each column of the table of means, by its column of scores.tsv."""
    return {
        column: title
        for score in scores_to_show()
        if score.in_means
        for column, title in score.columns(archive.class_names).items()
    }


@dataclass(frozen=True)
class SlideColumn:
    """A column of the table of slides. has_bar: whether a bar shows the value within its range."""

    score: Score
    column: str
    title: str
    has_bar: bool

    def part(self, result: Result) -> float | None:
        """How far a value lies within its range, 0 to 1; None for no bar."""
        value = result.scores.get(self.column)
        if value is None or not self.has_bar:
            return None
        return (value - self.score.lowest) / (self.score.highest - self.score.lowest)


def slide_columns(archive: Archive) -> list[SlideColumn]:
    """Scores in the table of slides; the first one has a bar, if its range ends."""
    columns = [
        (score, column, title)
        for score in scores_to_show()
        if score.in_slides
        for column, title in score.columns(archive.class_names).items()
    ]
    return [
        SlideColumn(score, column, title, not place and math.isfinite(score.highest))
        for place, (score, column, title) in enumerate(columns)
    ]


def score_terms(archive: Archive) -> list[tuple[str, str]]:
    """What each metric says: the titles of its scores, and its explanation."""
    return [
        (
            ", ".join(s.title for s in metric.scores if s.title and not s.is_per_class),
            _explained(metric, archive),
        )
        for metric in metrics_to_show()
    ]


def _explained(metric: Metric, archive: Archive) -> str:
    """The explanation, with the values that settings have in score files."""
    texts = {}
    for name in metric.settings:
        values = archive.settings.get(name, ())
        several = ", as set for its score file" if len(values) > 1 else ""
        texts[name] = (" or ".join(map(str, values)) or NOTHING) + several
    return metric.explanation.format(**texts)
