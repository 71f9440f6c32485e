"""The report as one HTML page that needs nothing else: no script, no font, no file beside it."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from overtile.ingest.catalogue import SPLITS
from overtile.metrics.metric import Score
from overtile.metrics.registry import headlines
from overtile.reporting.inputs import Archive, Result, shown_labels
from overtile.reporting.models import Model, sigma_text
from overtile.reporting.pictures import BOTH, FRAME, REFERENCE, SEGMENTATION, Overlay, draw_overlay
from overtile.reporting.plots import curve_plots, strip_plot
from overtile.reporting.shown_scores import (
    NOTHING,
    interval_text,
    mean_columns,
    mean_text,
    score_cell,
    score_terms,
    slide_columns,
)
from overtile.reporting.summary import (
    Row,
    extremes,
    scored,
    shares_groups,
    split_name,
    summarise,
    worst_first,
)
from overtile.reporting.weights import WeightFigure

TEMPLATE = "report.html.jinja"
MOST_ROWS = 500
MOST_LEFT_OUT = 20
OUTLINE_COLOURS = {
    "reference": REFERENCE,
    "segmentation": SEGMENTATION,
    "both": BOTH,
    "frame": FRAME,
}


@dataclass(frozen=True)
class Picture:
    """One slide to show: the result it belongs to, and its pictures."""

    result: Result
    overlay: Overlay
    has_reference: bool


@dataclass(frozen=True)
class Gallery:
    """Pictures of one model under a heading."""

    model: str
    heading: str
    pictures: tuple[Picture, ...]


def render_page(
    archive: Archive,
    models: Sequence[Model],
    versions: dict[str, str],
    title: str,
    table_name: str | None,
    figures: Sequence[WeightFigure | None] = (),
) -> str:
    """The whole page. versions: of the libraries. table_name: file name of scores.tsv, or None.

    figures: of weight maps, one or None for each of `models`, or none at all.
    Nothing in it depends on time or place: the same inputs give the same bytes.
    """
    shown, total = slide_rows(archive)
    template = _environment().get_template(TEMPLATE)
    return template.render(
        title=title,
        archive=archive,
        found=found_in_total(archive),
        segmented=len({r.slide.name for r in archive.results if r.found is not None}),
        splits=_split_counts(archive),
        curves=[
            (model, [(name, Markup(svg)) for name, svg in curve_plots(model, number)])
            for number, model in enumerate(models)
        ],
        figures=figures or [None] * len(models),
        galleries=galleries(archive),
        left_out=archive.left_out[:MOST_LEFT_OUT],
        slide_rows=shown,
        slide_rows_total=total,
        table_name=table_name,
        models=models,
        versions=versions,
        groups_shared=shares_groups(archive),
        colours=OUTLINE_COLOURS,
        **_scores(archive),
    )


def _scores(archive: Archive) -> dict[str, object]:
    """What the page says of scores, by name in the template."""
    rows = summarise(archive)
    return {
        "rows": rows,
        "headline_rows": headline_rows(rows),
        "headlines": headlines(),
        "mean_columns": mean_columns(archive),
        "slide_columns": slide_columns(archive),
        "strips": [(s, Markup(strip_plot(archive, rows, s))) for s in headlines() if rows],
        "terms": score_terms(archive),
        "is_any_unmeasured": any(e.unmeasured for row in rows for e in row.estimates.values()),
        "score_cell": partial(score_cell, archive.class_names),
    }


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "mean": mean_text,
        "interval": interval_text,
        "count": count_text,
        "split": split_name,
        "png": png_uri,
        "sigma": sigma_text,
    }
    return environment


def count_text(value: int | None) -> str:
    """A number with thin spaces between thousands, or a dash."""
    return NOTHING if value is None else f"{value:,}".replace(",", "\u202f")


def png_uri(picture: bytes) -> str:
    """A picture as a data: address."""
    return "data:image/png;base64," + base64.b64encode(picture).decode("ascii")


def found_in_total(archive: Archive) -> dict[str, int | None]:
    """Objects that each model found on all slides; None if it has segmented none."""
    totals: dict[str, int | None] = dict.fromkeys(archive.models)
    for result in archive.results:
        if result.found is not None:
            totals[result.model] = (totals[result.model] or 0) + result.found
    return totals


def headline_rows(rows: Sequence[Row]) -> list[Row]:
    """One row per model, from the first split that it has; rows are in the order of splits."""
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(row.model, row)
    return list(first.values())


def _split_counts(archive: Archive) -> list[tuple[str, int]]:
    names = [slide.split for slide in archive.slides]
    return [(split_name(s), names.count(s)) for s in SPLITS if s and s in names]


def slide_rows(archive: Archive) -> tuple[list[Result], int]:
    """The table of slides: by split, worst first within it; and how many there are in all.

    Of more than 500 only the worst 500.
    """
    worst = worst_first(archive.results)[:MOST_ROWS]
    worst.sort(key=lambda result: SPLITS.index(result.slide.split))
    return worst, len(archive.results)


def galleries(archive: Archive) -> list[Gallery]:
    """The worst and the best slides of each model; without scores the first three."""
    found = []
    worst_heading, best_heading = _headings(headlines()[0])
    for model in archive.models:
        worst, best = extremes(archive, model)
        if worst:
            found += [(worst_heading, model, worst), (best_heading, model, best)]
        elif not any(scored(archive, model, split) for split in SPLITS):
            drawn = [r for r in archive.results if r.model == model and r.found is not None]
            found.append(("First slides", model, drawn[:3]))
    drawn_galleries = [
        Gallery(model, heading, tuple(p for r in results if (p := _picture(archive, r))))
        for heading, model, results in found
    ]
    return [gallery for gallery in drawn_galleries if gallery.pictures]


def _headings(score: Score) -> tuple[str, str]:
    """Over the worst and over the best slides by a score."""
    title = score.title[:1].lower() + score.title[1:]
    lowest, highest = f"Lowest {title}", f"Highest {title}"
    return (lowest, highest) if score.is_higher_better else (highest, lowest)


def _picture(archive: Archive, result: Result) -> Picture | None:
    store = result.slide.store
    labels = shown_labels(result.slide, archive.reference_name)
    if store is None or result.model not in labels:
        return None
    reference = labels.get(archive.reference_name)
    overlay = draw_overlay(store, labels[result.model], reference)
    return Picture(result, overlay, reference is not None)


def headline_text(archive: Archive) -> str:
    """The headline for a terminal: one line per model and split."""
    lines = [
        f"{model}: {total if total is not None else 'no'} objects found"
        for model, total in found_in_total(archive).items()
    ]
    for row in summarise(archive):
        scores = ", ".join(
            f"{score.title.lower()} {mean_text(row.estimates[score.column])}"
            for score in headlines()
        )
        lines.append(f"{row.model}, {split_name(row.split)} (n = {row.slides}): {scores}")
    if archive.left_out:
        lines.append(f"scores that do not count: {len(archive.left_out)}; the page says why")
    return "\n".join(lines)
