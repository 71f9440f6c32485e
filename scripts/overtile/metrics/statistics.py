"""Means over slides with their intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
FEWEST_SLIDES = 3
RESAMPLES = 2000
SEED = 20150518
VALUES_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Estimate:
    """A mean over slides. low, high: its 95 % interval, None below 3 slides.

    n: slides that were measured; missing: slides where there was nothing to measure; unmeasured:
    slides whose score files are older than the score.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    missing: int
    unmeasured: int = 0


def estimate(values: Sequence[float | None], unmeasured: int = 0) -> Estimate:
    """Mean of one value per slide, and an interval of it by a bootstrap with a fixed seed.

    Parameters
    ----------
    values : sequence of float or None
        One per slide; None where there was nothing to measure.
    unmeasured : int
        Slides that `values` does not have, as their score files are older than the score.

    Returns
    -------
    Estimate
        The interval is a percentile bootstrap over slides, None below 3 of them.

    References
    ----------
    Efron and Tibshirani 1993, chapter 13, doi:10.1201/9780429246593.

    Examples
    --------
    >>> estimate([0.5, 1.0, None])
    Estimate(mean=0.75, low=None, high=None, n=2, missing=1, unmeasured=0)
    """
    known = np.array([v for v in values if v is not None], dtype=float)
    mean = float(known.mean()) if len(known) else None
    low, high = _interval(known) if len(known) >= FEWEST_SLIDES else (None, None)
    return Estimate(mean, low, high, len(known), len(values) - len(known), unmeasured)


def _interval(values: np.ndarray) -> tuple[float, float]:
    from scipy.stats import bootstrap  # late: half a second

    interval = bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=max(1, VALUES_AT_ONCE // len(values)),
        vectorized=True,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return float(interval.low), float(interval.high)
