"""What the report is made of: score files, the sheet of slides, and counts kept in stores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

from overtile.errors import InputError
from overtile.ingest.catalogue import Slide, read_sheet
from overtile.metrics.score_files import ScoreFile, find_score_files, read_score_file
from overtile.planning.twins import twins
from overtile.reporting.left_out import LeftOut, why_left_out
from overtile.stores.store import ROOT, Store, finished_labels


@dataclass(frozen=True)
class Result:
    """One slide as one model segmented it.

    found, reference: numbers of objects, None where not known. scores: by column of scores.tsv,
    None where there was nothing to measure; empty without a score file that counts. seams: steps
    between pixels across tile borders over those inside tiles, None with one tile. left_out: share
    of tiles that held only background and were not computed.
    """

    slide: Slide
    model: str
    found: int | None = None
    reference: int | None = None
    scores: dict[str, float | None] = field(default_factory=dict)
    seams: float | None = None
    left_out: float = 0.0


@dataclass(frozen=True)
class Archive:
    """All slides in the sheet's order, all models, and a result for each pair of them.

    class_names: of all scores. settings: what metrics were told, all values of each, as the score
    files say. left_out: scores that do not count, of which nothing else tells.
    """

    slides: tuple[Slide, ...]
    models: tuple[str, ...]
    results: tuple[Result, ...]
    class_names: tuple[str, ...]
    reference_name: str = "reference"
    settings: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()


def load_archive(
    scores: Sequence[Path],
    sheet: Path | None,
    stores: Path | None,
    models: Sequence[str],
    reference_name: str,
) -> Archive:
    """Bring scores, sheet and stores together.

    scores: files, or folders of them. sheet: restricts to its slides. stores: folder of
    `{slide}.ome.zarr`. models: names that come first; without any name, label stores are models.
    Raises InputError for a file that is not what it should be, or if there is no slide at all.
    """
    read = [read_score_file(path) for path in find_score_files(scores)]
    slides = _find_slides(sheet, stores, read)
    if not slides:
        raise InputError("report: no slides found; give --scores, --slides or --sheet")
    _refuse_shared_pictures(slides)
    labels = {slide.name: shown_labels(slide, reference_name) for slide in slides}
    counted, left_out = _sort_out(read, slides, labels if stores else {}, reference_name)
    names = _model_names(models, read, labels, reference_name)
    pairs = _by_pair(counted)
    return Archive(
        slides,
        names,
        tuple(
            _result(
                slide, model, pairs.get((slide.name, model)), labels[slide.name], reference_name
            )
            for slide in slides
            for model in names
        ),
        tuple(dict.fromkeys(name for score in counted for name in score.class_names)),
        reference_name,
        _settings(counted),
        tuple(left_out),
    )


Labels = Mapping[str, Mapping[str, Store]]
"""The finished label stores of each slide, by name."""


def _sort_out(
    scores: Sequence[ScoreFile], slides: Sequence[Slide], labels: Labels, reference_name: str
) -> tuple[list[ScoreFile], list[LeftOut]]:
    """The scores that count, and those that do not, with the reason."""
    by_name = {slide.name: slide for slide in slides}
    counted, left_out = [], []
    for score in scores:
        slide, own = by_name.get(score.slide), labels.get(score.slide)
        why = why_left_out(score, slide, own, reference_name)
        if why is None:
            counted.append(score)
        else:
            left_out.append(LeftOut(score.slide, score.model, why))
    return counted, left_out


def _model_names(
    first: Sequence[str], scores: Sequence[ScoreFile], labels: Labels, reference_name: str
) -> tuple[str, ...]:
    """Models given, then those with scores; without any, the label stores but the reference."""
    scored = (score.model for score in scores if score.slide in labels)
    names = dict.fromkeys([*first, *scored])
    stored = {name for own in labels.values() for name in own} - {reference_name}
    return tuple(names or sorted(stored))


def _settings(scores: Sequence[ScoreFile]) -> dict[str, tuple[float, ...]]:
    """All values of each setting, in increasing order."""
    found: dict[str, set[float]] = {}
    for score in scores:
        for name, value in score.settings.items():
            found.setdefault(name, set()).add(value)
    return {name: tuple(sorted(values)) for name, values in found.items()}


def _find_slides(
    sheet: Path | None, folder: Path | None, scores: Sequence[ScoreFile]
) -> tuple[Slide, ...]:
    """The slides of the sheet, else those with a score or a store; with their stores."""
    if folder is not None and not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the one with the slides' stores")
    roots = sorted(folder.glob(f"*.ome.zarr/{ROOT}")) if folder else []
    paths = {root.parent.name.removesuffix(".ome.zarr"): root.parent for root in roots}
    if sheet:
        slides = read_sheet(sheet)
    else:
        slides = [Slide(name) for name in sorted({score.slide for score in scores} | set(paths))]
    return tuple(
        replace(slide, store=Store.open(paths[slide.name], "picture"))
        if slide.name in paths
        else slide
        for slide in slides
    )


def _refuse_shared_pictures(slides: Sequence[Slide]) -> None:
    """Raise InputError, one line, for a picture that is in two splits: scores would be too good."""
    for splits in combinations(("train", "val", "test"), 2):
        stores = [[s.store for s in slides if s.split == split and s.store] for split in splits]
        for one, other in twins(*stores):
            raise InputError(
                f"slides {one.name} ({splits[0]}) and {other.name} ({splits[1]}): are the same "
                "picture; a picture may be in one split only: remove a row of the sheet, or move it"
            )


def shown_labels(slide: Slide, reference_name: str) -> dict[str, Store]:
    """The finished label stores of a slide, by name.

    Without the reference where the sheet does not name it any more.
    """
    found = finished_labels(slide.store) if slide.store else {}
    if not slide.has_labels:
        found.pop(reference_name, None)
    return found


def _by_pair(scores: Sequence[ScoreFile]) -> dict[tuple[str, str], ScoreFile]:
    pairs: dict[tuple[str, str], ScoreFile] = {}
    for score in scores:
        other = pairs.setdefault((score.slide, score.model), score)
        if other is not score:
            raise InputError(
                f"{score.path}: slide {score.slide!r}, model {score.model!r} is also in "
                f"{other.path}; give one of them"
            )
    return pairs


def _result(
    slide: Slide,
    model: str,
    score: ScoreFile | None,
    labels: Mapping[str, Store],
    reference_name: str,
) -> Result:
    """Counts of the stores, which hold the whole slide; else those of the score file."""
    own, reference = labels.get(model), labels.get(reference_name)
    prediction = own.attributes.get("prediction") if own else None
    seams, left_out = None, 0.0
    if prediction:
        seams = prediction["seams"]["score"]
        left_out = 1 - prediction["tiles_computed"] / max(1, prediction["tiles"])
    return Result(
        slide,
        model,
        _objects(own, score.found if score else None),
        _objects(reference, score.reference if score else None),
        score.scores if score else {},
        seams,
        left_out,
    )


def _objects(labels: Store | None, scored: int | None) -> int | None:
    return labels.attributes.get("objects") if labels else scored
