"""What lies in a result folder, step by step, with the runs that made it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from overtile.ingest.catalogue import Slide
from overtile.metrics.score_files import read_score_file
from overtile.planning.plan import Plan
from overtile.planning.reading import read_plan
from overtile.reporting.crate import Result
from overtile.reporting.left_out import why_left_out
from overtile.stores.digest import digest_file
from overtile.stores.run_log import read_record
from overtile.stores.store import ROOT, Store, finished_labels, store_path

Runs = Callable[[Path], list[dict]]
REFERENCE = "reference"
EXPORTS = {"geojson": "export_outlines", "tif": "export_tiff"}
"""Rules by the ending of what they write."""


def walk_results(
    results: Path, slides: Sequence[Slide], models: Sequence[str], runs_of: Runs
) -> Iterator[Result]:
    """All finished results of some slides and models, each after what it was made from.

    results: the folder. slides: of the sheet; scores that do not count are left out. runs_of: gives
    the runs that made a store or folder. Files that a step wrote have theirs in `runs/` of the
    result folder.
    """
    walk = _Walk(results, slides, runs_of)
    for slide in slides:
        yield from walk.slide(slide.name)
    for model in models:
        yield from walk.model(model)
    for model in models:
        for slide in slides:
            yield from walk.segmentation(model, slide)
    yield from walk.report(models)


def newest_inputs(results: Iterable[Result]) -> dict[str, str]:
    """Digest by path of each file outside the results, as the run that began last has read it."""
    runs = [run for result in results for run in result.runs]
    ordered = sorted(runs, key=lambda run: run["started"])
    return {path: digest for run in ordered for path, digest in run.get("inputs", {}).items()}


def _picture(slide: str) -> str:
    return f"slides/{slide}.ome.zarr/"


def _labels(slide: str, name: str = REFERENCE) -> str:
    return f"{_picture(slide)}labels/{name}/"


def _weights(model: str, slide: str) -> str:
    return f"weights/{model}/{slide}.zarr/"


def _scores(model: str, slide: str) -> str:
    return f"scores/{model}/{slide}.json"


class _Walk:
    """Finds results in one folder."""

    def __init__(self, results: Path, slides: Sequence[Slide], runs_of: Runs):
        self._results, self._runs_of = results, runs_of
        self._slides = [slide.name for slide in slides]
        self._plan = cache(self._read_plan)

    def slide(self, slide: str) -> Iterator[Result]:
        """Picture, reference labels, and what is to be learnt of them."""
        picture, labels = _picture(slide), _labels(slide)
        yield from self._result(picture, f"slide {slide}", last=ROOT)
        yield from self._result(labels, f"reference labels of {slide}", [picture], last=ROOT)
        for path in self._separated(slide):
            yield from self._result(path, f"labels to learn of {slide}", [labels], last=ROOT)

    def model(self, model: str) -> Iterator[Result]:
        """Plan, weight maps, folds and package of a model; of one taken over, plan and package."""
        plan = f"models/{model}/plan.yaml"
        if self._is_adopted(model):
            yield from self._package(model, also=[(plan, f"plan of {model}")])
            return
        learnt, folds = self._learnt(model), self._folds(model)
        targets = {slide: self._target(slide, digest) for slide, digest in learnt.items()}
        parts = [*map(_picture, learnt), *(path for found in targets.values() for path in found)]
        record = f"plan_training/{model}"
        yield from self._result(plan, f"plan of {model}", parts, record=record)
        maps = {slide: _weights(model, slide) for slide in learnt}
        for slide, path in maps.items():
            read = [plan, *targets[slide]]
            yield from self._result(path, f"weights of {slide} for {model}", read, last=ROOT)
        read = [plan, *parts, *maps.values()]
        for path in folds:
            name = f"{Path(path).name} of {model}"
            yield from self._result(path, name, read, last="fold.json")
        yield from self._package(model, [plan, *folds])

    def segmentation(self, model: str, sheet_slide: Slide) -> Iterator[Result]:
        """Probabilities, masks, objects, scores and exports of one slide by one model."""
        slide = sheet_slide.name
        what, labels = f"{slide} by {model}", _labels(slide, model)
        probabilities = f"probabilities/{model}/{slide}.ome.zarr/"
        read = [_picture(slide), f"models/{model}/package/"]
        yield from self._result(probabilities, f"probabilities of {what}", read, last=ROOT)
        table = (f"objects/{model}/{slide}.parquet", f"objects of the segmentation of {what}")
        name = f"segmentation of {what}"
        yield from self._result(labels, name, [probabilities], [table], last=ROOT)
        if self._score_counts(model, sheet_slide):
            read, record = [labels, _labels(slide)], f"evaluate_slide/{model}/{slide}"
            yield from self._result(_scores(model, slide), f"scores of {what}", read, record=record)
        for ending, rule in EXPORTS.items():
            path, record = f"exports/{model}/{slide}.{ending}", f"{rule}/{model}/{slide}"
            for export in self._result(path, f"export of {what}", [labels], record=record):
                # Made when asked for only: it may be older than the labels.
                runs = [run for run in export.runs if run.get("read") == self._digest(labels)]
                yield replace(export, runs=runs)

    def report(self, models: Sequence[str]) -> Iterator[Result]:
        """The report and its table, made from what they show."""
        read = [path for slide in self._slides for path in (_picture(slide), _labels(slide))]
        for model in models:
            read += [f"models/{model}/plan.yaml", *self._folds(model)]
            for slide in self._slides:
                read += [_labels(slide, model), _scores(model, slide)]
        # Where a model was taken over, no weight map is shown.
        if not any(map(self._is_adopted, models)):
            read += [path for model in models for path in self._figure(model)]
        table = ("scores.tsv", "table of the report")
        yield from self._result("report.html", "report", read, [table], record="write_report")

    def _result(
        self, path: str, name: str, parts=(), also=(), record: str | None = None, last: str = ""
    ) -> Iterator[Result]:
        """A result, if it is finished.

        also: (path, name) of files that the same step wrote. record: of its run, in `runs/`;
        without one the runs are noted in the folder. last: file that is written last into a folder.
        """
        done = self._results / path / last
        if not done.is_file():
            return
        digest = Store.open(done.parent).digest if last == ROOT else digest_file(done)
        runs = self._recorded(record, digest) if record else self._runs_of(done.parent)
        there = [(self._results / other, other, title) for other, title in also]
        others = [(other, title, digest_file(f)) for f, other, title in there if f.is_file()]
        yield Result(path, name, digest, runs, parts, others)

    def _package(self, model: str, parts=(), also=()) -> Iterator[Result]:
        """A packaged model, if it is finished. It is for others: no record lies in it."""
        path, record = f"models/{model}/package/", f"package_model/{model}"
        yield from self._result(path, f"model {model}", parts, also, record, last="plan.yaml")

    def _score_counts(self, model: str, slide: Slide) -> bool:
        """Whether there are scores of what the sheet and the slide's store hold now."""
        path = self._results / _scores(model, slide.name)
        picture = self._results / _picture(slide.name)
        if not path.is_file() or not (picture / ROOT).is_file():
            return False
        score, labels = read_score_file(path), finished_labels(Store.open(picture))
        is_of_them = (score.slide, score.model) == (slide.name, model)
        return is_of_them and why_left_out(score, slide, labels, REFERENCE) is None

    def _recorded(self, record: str, digest: str) -> list[dict]:
        """The run that a file in `runs/` tells of, if it led to the content with this digest."""
        file = self._results / "runs" / f"{record}.json"
        runs = [read_record(file)] if file.is_file() else []
        return [run for run in runs if run.get("content") == digest]

    def _digest(self, path: str) -> str | None:
        """Digest of a store; None if it is not finished."""
        folder = self._results / path
        return Store.open(folder).digest if (folder / ROOT).is_file() else None

    def _separated(self, slide: str) -> list[str]:
        """Stores of a slide's labels with borders between touching cells, of all widths."""
        roots = sorted(self._results.glob(f"targets/*/{slide}.ome.zarr/{ROOT}"))
        return [f"{store_path(root).relative_to(self._results).as_posix()}/" for root in roots]

    def _target(self, slide: str, digest: str) -> list[str]:
        """The labels with a digest that a model learns of a slide."""
        found = [*self._separated(slide), _labels(slide)]
        return [path for path in found if self._digest(path) == digest]

    def _read_plan(self, model: str) -> Plan | None:
        path = self._results / "models" / model / "plan.yaml"
        return read_plan(path) if path.is_file() else None

    def _folds(self, model: str) -> list[str]:
        """Folds of a model's plan. What else lies there is left over from an earlier one."""
        plan = self._plan(model)
        folds = plan.folds if plan else ()
        return [f"models/{model}/fold{number}/" for number in range(len(folds))]

    def _learnt(self, model: str, parts=("train", "validation")) -> dict[str, str]:
        """Those slides of the sheet that a plan learns from, with the digests of their labels."""
        plan = self._plan(model)
        if plan is None:
            return {}
        names = {name for fold in plan.folds for part in parts for name in getattr(fold, part)}
        digests = {known.slide: known.labels_digest for known in plan.slides}
        # People may edit a plan: a slide may stand in a fold only.
        return {slide: digests.get(slide, "") for slide in self._slides if slide in names}

    def _figure(self, model: str) -> list[str]:
        """The weight map that the report shows, of the first training slide, and its labels."""
        learnt = list(self._learnt(model, ["train"]).items())[:1]
        return [
            path
            for slide, digest in learnt
            for path in (_weights(model, slide), *self._target(slide, digest))
        ]

    def _is_adopted(self, model: str) -> bool:
        """Whether a model was trained elsewhere."""
        return any(run.get("inputs") for package in self._package(model) for run in package.runs)
