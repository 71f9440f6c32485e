"""All metrics, by name."""

from overtile.metrics.metric import Metric, Score
from overtile.registry import Registry

METRICS = Registry(
    {
        "pixels": "overtile.metrics.pixels:METRIC",
        "overlap": "overtile.metrics.overlap:METRIC",
        "objects": "overtile.metrics.objects:METRIC",
        "partitions": "overtile.metrics.partitions:METRIC",
    },
    always=("overlap", "objects", "pixels", "partitions"),
)
"""In the order in which a score file has their values: a new one stands last.

Those of `always` are in every score file, and a change of their code makes score files again; they
stand in the order of their columns in scores.tsv. A new one is in the score files that are written
from then on. Who changes its code adds it to `always`, as the last one.
"""


def load_metrics() -> dict[str, Metric]:
    """All metrics by name, in the order of a score file."""
    return {name: METRICS.load(name) for name in METRICS}


def metrics_to_show() -> list[Metric]:
    """All metrics in the order in which readers see them: by their first headline."""
    return sorted(load_metrics().values(), key=lambda metric: min(map(_place, metric.scores)))


def scores_to_show() -> list[Score]:
    """The scores of all metrics, in the order in which readers see them."""
    return [score for metric in metrics_to_show() for score in metric.scores]


def table_scores() -> list[Score]:
    """The scores in scores.tsv, in the order of its columns: those of new metrics last."""
    metrics = load_metrics()
    names = dict.fromkeys([*METRICS.always, *metrics])
    return [score for name in names for score in metrics[name].scores if score.in_table]


def headlines() -> list[Score]:
    """The scores that matter most, the first one first."""
    return sorted((s for s in scores_to_show() if s.headline is not None), key=_place)


def _place(score: Score) -> float:
    return float("inf") if score.headline is None else score.headline
