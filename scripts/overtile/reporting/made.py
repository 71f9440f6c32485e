"""What lies in a result folder, step by step, with the runs that made it."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from overtile.reporting.crate import Made
from overtile.stores.digest import digest_file
from overtile.stores.files import read_json, read_yaml
from overtile.stores.store import ROOT, Store, store_path

Runs = Callable[[Path], list[dict]]


def walk_results(
    results: Path, slides: Sequence[str], models: Sequence[str], runs_of: Runs
) -> Iterator[Made]:
    """All finished results of some slides and models, each after what it was made from.

    results: the folder. runs_of: gives the runs that made a store or folder. Files that a step
    wrote have theirs in `runs/` of the result folder.
    """
    walk = _Walk(results, slides, runs_of)
    for slide in slides:
        yield from walk.store(f"slides/{slide}.ome.zarr/", f"slide {slide}")
        picture = f"slides/{slide}.ome.zarr/"
        reference = f"{picture}labels/reference/"
        yield from walk.store(reference, f"reference labels of {slide}", picture)
        for target in sorted(results.glob(f"targets/*/{slide}.ome.zarr/{ROOT}")):
            path = store_path(target).relative_to(results).as_posix() + "/"
            yield from walk.store(path, f"labels to learn of {slide}", reference)
    for model in models:
        yield from walk.model(model)
    shown = []
    for model in models:
        for slide in slides:
            for made in walk.segmentation(model, slide):
                shown.append(made.path)
                yield made
    yield from walk.file("report.html", "report", "write_report.json", *shown, also="scores.tsv")


class _Walk:
    """Finds results in one folder."""

    def __init__(self, results: Path, slides: Sequence[str], runs_of: Runs):
        self._results, self._slides, self._runs_of = results, slides, runs_of

    def store(self, path: str, name: str, *parts: str, also: str | None = None) -> Iterator[Made]:
        """A store, if it is finished. also: a file that the same step wrote."""
        folder = self._results / path
        if (folder / ROOT).is_file():
            others = self._others(also, f"objects of the {name}")
            runs = self._runs_of(folder)
            yield Made(path, name, Store.open(folder).digest, runs, parts, others)

    def file(
        self, path: str, name: str, record: str, *parts: str, also: str | None = None
    ) -> Iterator[Made]:
        """A file, if it is there. record: file of its run, in `runs/`. also: of the same run."""
        if (self._results / path).is_file():
            digest = digest_file(self._results / path)
            others = self._others(also, f"table of the {name}")
            yield Made(path, name, digest, self._recorded(record, digest), parts, others)

    def _others(self, path: str | None, name: str) -> list[tuple[str, str, str]]:
        file = self._results / path if path else None
        return [(path, name, digest_file(file))] if file and file.is_file() else []

    def _recorded(self, record: str, digest: str) -> list[dict]:
        """The run that a file in `runs/` tells of, if it led to the content with this digest."""
        file = self._results / "runs" / record
        runs = [read_json(file)] if file.is_file() else []
        return [run for run in runs if run.get("content") == digest]

    def fold(self, path: str, name: str, *parts: str) -> Iterator[Made]:
        """A trained fold, if it is finished."""
        done = self._results / path / "fold.json"
        if done.is_file():
            yield Made(path, name, digest_file(done), self._runs_of(done.parent), parts)

    def package(self, model: str, *parts: str, also: str | None = None) -> Iterator[Made]:
        """A packaged model, if it is finished. It is for others: no record lies in it."""
        path = f"models/{model}/package/"
        done, name = self._results / path / "plan.yaml", f"model {model}"
        if done.is_file():
            digest = digest_file(done)
            runs = self._recorded(f"package_model/{model}.json", digest)
            yield Made(path, name, digest, runs, parts, self._others(also, f"plan of {name}"))

    def model(self, model: str) -> Iterator[Made]:
        """Plan, weight maps, folds and package of a model; of one taken over, plan and package."""
        base = f"models/{model}/"
        plan = f"{base}plan.yaml"
        packaged = list(self.package(model, also=plan))
        if any(run.get("inputs") for made in packaged for run in made.runs):
            yield from packaged
            return
        folds, names = self._planned(plan)
        slides = [f"slides/{name}.ome.zarr/" for name in names]
        maps = [f"weights/{model}/{name}.zarr/" for name in names]
        yield from self.file(plan, f"plan of {model}", f"plan_training/{model}.json", *slides)
        for path, name in zip(maps, names, strict=True):
            yield from self.store(path, f"weights of {name} for {model}", plan)
        paths = [f"{base}fold{number}/" for number in range(folds)]
        for path in paths:
            name = f"{Path(path).name} of {model}"
            yield from self.fold(path, name, plan, *slides, *maps)
        yield from self.package(model, plan, *paths)

    def _planned(self, path: str) -> tuple[int, list[str]]:
        """Number of folds of a plan, and those slides of the sheet that it learns from.

        What else lies there is left over from an earlier plan or sheet.
        """
        if not (self._results / path).is_file():
            return 0, []
        folds = read_yaml(self._results / path)["folds"]
        learnt = {name for fold in folds for part in ("train", "validation") for name in fold[part]}
        return len(folds), [slide for slide in self._slides if slide in learnt]

    def segmentation(self, model: str, slide: str) -> Iterator[Made]:
        """Probabilities, masks, objects and scores of one slide by one model."""
        picture = f"slides/{slide}.ome.zarr/"
        probabilities = f"probabilities/{model}/{slide}.ome.zarr/"
        labels = f"{picture}labels/{model}/"
        what = f"{slide} by {model}"
        package = f"models/{model}/package/"
        yield from self.store(probabilities, f"probabilities of {what}", picture, package)
        table = f"objects/{model}/{slide}.parquet"
        yield from self.store(labels, f"segmentation of {what}", probabilities, also=table)
        yield from self.file(
            *(f"scores/{model}/{slide}.json", f"scores of {what}"),
            f"evaluate_slide/{model}/{slide}.json",
            *(labels, f"{picture}labels/reference/"),
        )
