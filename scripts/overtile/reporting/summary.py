"""Means over slides with their intervals, and the order of slides from worst to best."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from overtile.ingest.catalogue import SPLITS
from overtile.reporting.inputs import Archive, Result

CONFIDENCE = 0.95
FEWEST_SLIDES = 3
RESAMPLES = 2000
SEED = 20150518
VALUES_AT_ONCE = 2_000_000
SPLIT_NAMES = {"test": "test", "val": "validation", "train": "training", "": "all slides"}


@dataclass(frozen=True)
class Metric:
    """A score to show. key: column of scores.tsv; hint: what it says, for readers."""

    key: str
    title: str
    hint: str


HEADLINES = (
    Metric("f1", "Object F1", "objects found and outlined right, of all; 1 is perfect"),
    Metric("dice", "Dice", "overlap of segmented and true area; 1 is perfect"),
    Metric("pixel_error", "Pixel error", "share of pixels with the wrong class; 0 is perfect"),
)


@dataclass(frozen=True)
class Estimate:
    """A mean over slides. low, high: its 95 % interval, None below 3 slides.

    n: slides that were measured; missing: slides where there was nothing to measure.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    missing: int


@dataclass(frozen=True)
class Row:
    """The scores of one model on the slides of one split."""

    model: str
    split: str
    slides: int
    estimates: dict[str, Estimate]


def estimate(values: Sequence[float | None]) -> Estimate:
    """Mean, and a percentile bootstrap interval of it over slides, with a fixed seed.

    Source: Efron and Tibshirani 1993, chapter 13, doi:10.1201/9780429246593.
    """
    known = np.array([v for v in values if v is not None], dtype=float)
    missing = len(values) - len(known)
    if not len(known):
        return Estimate(None, None, None, 0, missing)
    mean = float(known.mean())
    if len(known) < FEWEST_SLIDES:
        return Estimate(mean, None, None, len(known), missing)
    from scipy.stats import bootstrap  # late: half a second

    interval = bootstrap(
        (known,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=max(1, VALUES_AT_ONCE // len(known)),
        vectorized=True,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return Estimate(mean, float(interval.low), float(interval.high), len(known), missing)


def scored(archive: Archive, model: str, split: str) -> list[Result]:
    """Results of a model that were compared with a reference, in one split."""
    return [r for r in archive.results if r.model == model and r.slide.split == split and r.scores]


def splits_of(archive: Archive) -> list[str]:
    """Splits with scores, the one that tells most about new slides first."""
    present = {r.slide.split for r in archive.results if r.scores}
    return [split for split in SPLITS if split in present]


def columns(archive: Archive) -> list[tuple[str, str]]:
    """(column of scores.tsv, title) of the summary table."""
    return [
        ("f1", "Object F1"),
        *((f"dice_{name}", f"Dice {name}") for name in archive.classes),
        ("iou", "IoU"),
        ("pixel_error", "Pixel error"),
        ("rand_f1", "VRand"),
        ("information_f1", "VInfo"),
    ]


def summarise(archive: Archive) -> list[Row]:
    """One row per split and model that has scores."""
    keys = [*(key for key, _ in columns(archive)), "dice"]
    return [
        Row(
            model,
            split,
            len(results),
            {k: estimate([r.scores.get(k) for r in results]) for k in keys},
        )
        for split in splits_of(archive)
        for model in archive.models
        if (results := scored(archive, model, split))
    ]


def split_name(split: str) -> str:
    """Name of a split for readers."""
    return SPLIT_NAMES.get(split, split)


def shares_groups(archive: Archive) -> bool:
    """Whether some group has several slides, which are then not independent."""
    groups = Counter(slide.group for slide in archive.slides if slide.group)
    return any(count > 1 for count in groups.values())


def badness(result: Result) -> tuple:
    """Sort key, worst first: by object F1, then Dice; without scores last, in sheet order."""
    f1, dice = result.scores.get("f1"), result.scores.get("dice")
    return (not result.scores, f1 is None, f1 or 0.0, dice is None, dice or 0.0)


def extremes(archive: Archive, model: str, each: int = 3) -> tuple[list[Result], list[Result]]:
    """The worst and the best results of a model, worst and best first, none in both.

    From the first split that has scores with objects, so that test slides come before others.
    """
    for split in splits_of(archive):
        ranked = [r for r in scored(archive, model, split) if r.scores.get("f1") is not None]
        ranked.sort(key=lambda r: (*badness(r), r.slide.name))
        if ranked:
            worst = min(each, (len(ranked) + 1) // 2)
            best = min(each, len(ranked) - worst)
            return ranked[:worst], ranked[::-1][:best]
    return [], []
