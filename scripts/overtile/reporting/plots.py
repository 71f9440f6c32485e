"""Plots as SVG for inside a page: the same data give the same bytes."""

import io
import re
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator
from matplotlib.typing import RcKeyType

from overtile.metrics.metric import Score
from overtile.metrics.statistics import Estimate
from overtile.reporting.inputs import Archive
from overtile.reporting.models import Fold, History, Model
from overtile.reporting.summary import Row, scored, split_name

# Okabe and Ito 2008: told apart with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK, FAINT = "#33404d", "#d9dfe5"
WIDTH_IN = 4.2
MOST_DOTS_AS_VECTORS = 400
IDS = re.compile(r'( id="|url\(#|href="#)')
STYLE: dict[RcKeyType, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 10.5,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
}


def draw_svg(name: str, height_in: float, draw: Callable[[Axes], None]) -> str:
    """One plot as an `<svg>` element. name: makes its ids unique within the page."""
    with mpl.rc_context(STYLE | {"svg.hashsalt": name}):
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        axes = figure.add_subplot()
        axes.set_axisbelow(True)
        draw(axes)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, dpi=144, metadata={"Date": None})
    svg = file.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    # Within tags only: what people wrote stands between them, without any < or >.
    return re.sub(r"<[^>]*>", lambda tag: IDS.sub(rf"\g<1>{name}-", tag[0]), svg)


def strip_plot(archive: Archive, rows: Sequence[Row], score: Score) -> str:
    """Every slide as a dot, one strip per split and model; the mean and its interval as a bar."""

    def draw(axes: Axes) -> None:
        for place, row in enumerate(rows):
            found = (r.scores.get(score.column) for r in scored(archive, row.model, row.split))
            values = np.array([value for value in found if value is not None])
            colour = COLOURS[archive.models.index(row.model) % len(COLOURS)]
            _draw_dots(axes, values, place, colour)
            _draw_mean(axes, row.estimates[score.column], place)
        axes.set_yticks(range(len(rows)), [_strip_name(archive, row) for row in rows])
        axes.set_ylim(len(rows) - 0.45, -0.55)
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)
        _limit_to_best(axes, score)

    return draw_svg(f"strip-{score.column}", 0.6 + 0.5 * len(rows), draw)


def _draw_dots(axes: Axes, values: np.ndarray, place: float, colour: str) -> None:
    axes.scatter(
        values,
        place + spread(values),
        s=24,
        color=colour,
        alpha=0.6,
        linewidths=0,
        rasterized=len(values) > MOST_DOTS_AS_VECTORS,
    )


def _draw_mean(axes: Axes, estimate: Estimate, place: float) -> None:
    """The interval as a bar, the mean as a ring."""
    if estimate.low is not None and estimate.high is not None:
        axes.plot([estimate.low, estimate.high], [place, place], color=INK, linewidth=2.2)
    if estimate.mean is not None:
        axes.plot(
            [estimate.mean],
            [place],
            "o",
            color="white",
            markeredgecolor=INK,
            markeredgewidth=1.6,
            markersize=6.5,
        )


def _limit_to_best(axes: Axes, score: Score) -> None:
    """Let the axis end at the best value, where there is one."""
    if not score.is_higher_better:
        axes.set_xlim(left=score.lowest)
    elif np.isfinite(score.highest):
        axes.set_xlim(right=score.highest + 0.01 * (score.highest - score.lowest))


def spread(values: np.ndarray) -> np.ndarray:
    """Offsets that keep dots of like value apart: van der Corput's, fixed, within +-0.28."""
    rank = np.argsort(np.argsort(values, kind="stable"), kind="stable") + 1
    offsets, base = np.zeros(len(values)), 0.5
    while np.any(rank):
        offsets += base * (rank % 2)
        rank, base = rank // 2, base / 2
    return (offsets - 0.5) * 0.56


def _strip_name(archive: Archive, row: Row) -> str:
    split = split_name(row.split)
    return split if len(archive.models) == 1 else f"{_short(row.model)}\n{split}"


def _short(name: str, most: int = 18) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def curve_plots(model: Model, number: int) -> list[tuple[str, str]]:
    """(title, SVG) of a model's learning curves: its losses, and its validation Dice if it has one.

    number: of the model on the page.
    """
    panels = [
        ("Loss", {"loss": ("training", "-"), "validation_loss": ("validation", "--")}),
        ("Validation Dice", {"validation_dice": ("validation", "-")}),
    ]
    folds = [fold for fold in model.folds if fold.history.get("loss")]
    return [
        (title, _curves(f"curve-{number}-{place}", folds, wanted))
        for place, (title, wanted) in enumerate(panels)
        if any(np.isfinite(fold.history.get(c, [])).any() for fold in folds for c in wanted)
    ]


def _curves(name: str, folds: Sequence[Fold], wanted: dict[str, tuple[str, str]]) -> str:
    def draw(axes: Axes) -> None:
        for place, fold in enumerate(folds):
            colour = COLOURS[place % len(COLOURS)]
            for column, (label, dash) in wanted.items():
                if column in fold.history:
                    text = f"fold {fold.number}, {label}" if len(folds) > 1 else label
                    _draw_curve(axes, fold.history, column, dash, colour, text)
            if "validation_dice" in wanted:
                _draw_kept_epoch(axes, fold, colour)
        axes.set_xlabel("epoch")
        epochs = AutoLocator()
        epochs.set_params(integer=True)
        axes.xaxis.set_major_locator(epochs)
        axes.grid()
        if len(axes.lines) > 1 and len(wanted) > 1:
            axes.legend(ncols=2 if len(axes.lines) > 4 else 1)

    return draw_svg(name, 2.5, draw)


def _draw_curve(
    axes: Axes, history: History, column: str, dash: str, colour: str, label: str
) -> None:
    values = history[column]
    axes.plot(
        history["epoch"],
        values,
        dash,
        color=colour,
        linewidth=1.5,
        marker="o",
        markevery=single_epochs(values),
        markersize=3,
        label=label,
    )


def _draw_kept_epoch(axes: Axes, fold: Fold, colour: str) -> None:
    """A dot at the epoch whose weights were kept, if it was measured."""
    epochs, dice = fold.history["epoch"], fold.history.get("validation_dice", [])
    if dice and fold.best_epoch in epochs:
        best = dice[epochs.index(fold.best_epoch)]
        if np.isfinite(best):
            axes.plot([fold.best_epoch], [best], "o", color=colour)


def single_epochs(values: Sequence[float]) -> list[int]:
    """Places of values between gaps, NaN, on both sides: no line shows them."""
    known = np.pad(np.isfinite(values), 1)
    return np.flatnonzero(known[1:-1] & ~known[:-2] & ~known[2:]).tolist()
