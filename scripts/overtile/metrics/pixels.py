"""How many pixels got the wrong class."""

from collections.abc import Mapping

import numpy as np

from overtile.metrics.checks import read_confusion, refuse_other
from overtile.metrics.metric import Comparison, Metric, Score, ratio


def measure(comparison: Comparison) -> dict[str, object]:
    """The counts of pixels, and the share of those that got the wrong class."""
    agreement = comparison.agreement
    total = int(agreement.confusion.sum())
    return {
        "pixels": total,
        "ignored_px": agreement.ignored,
        "pixel_error": ratio(total - int(np.trace(agreement.confusion)), total),
        "confusion": agreement.confusion.tolist(),
    }


def read(values: Mapping) -> dict[str, object]:
    """The pixel error, which the counts beside it must give."""
    confusion = read_confusion(values)
    total = int(confusion.sum())
    error = values["pixel_error"]
    refuse_other("pixels", values["pixels"], total)
    refuse_other("pixel_error", error, ratio(total - confusion.trace(), total))
    return {"pixel_error": error}


METRIC = Metric(
    keys=("pixels", "ignored_px", "pixel_error", "confusion"),
    measure=measure,
    read=read,
    scores=(
        Score(
            "pixel_error",
            title="Pixel error",
            hint="share of pixels with the wrong class; 0 is perfect",
            is_higher_better=False,
            headline=3,
        ),
    ),
    explanation="Share of all pixels that got the wrong class.",
)
