"""A metric that is one module and its line in the registry: in score files, the table, the page."""

import csv
import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from overtile.errors import InputError
from overtile.metrics.registry import METRICS, headlines, table_scores
from overtile.metrics.score_files import read_score_file
from overtile.stores.digest import sealed

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"
MODULE = '''
"""How much of the background was taken for an object."""

from overtile.metrics.metric import Metric, Score, ratio


def measure(comparison):
    background = comparison.agreement.confusion[0]
    return {"invented": ratio(int(background[1:].sum()), int(background.sum()))}


METRIC = Metric(
    keys=("invented",),
    measure=measure,
    scores=(
        Score(
            "invented",
            title="Invented area",
            hint="background that was segmented; 0 is perfect",
            is_higher_better=False,
            headline=4,
        ),
    ),
    explanation="Share of the background that was taken for an object.",
)
'''


@pytest.fixture
def add_metric(tmp_path, monkeypatch):
    """Registers the metric above; until it is called, there is no such metric."""

    def add() -> None:
        (tmp_path / "invented_area.py").write_text(MODULE)
        monkeypatch.syspath_prepend(tmp_path)
        places = {**METRICS, "invented": "invented_area:METRIC"}
        monkeypatch.setattr(METRICS, "_places", places)

    return add


def run(name: str, *arguments: object) -> None:
    script = runpy.run_path(str(SCRIPTS / f"{name}.py"), run_name=name)
    assert script["main"](list(map(str, arguments))) == 0


def evaluate(folder: Path, slide: str, invented_px: int) -> Path:
    """The score file of a picture with 40 px of cells, 60 of background."""
    mask = np.zeros((10, 10), np.uint8)
    mask[:4] = 255
    Image.fromarray(mask).save(folder / "reference.png")
    mask[9, :invented_px] = 255
    Image.fromarray(mask).save(folder / "segmentation.png")
    path = folder / "scores" / f"{slide}.json"
    run(
        *("evaluate", "--reference", folder / "reference.png", "--kind", "binary"),
        *("--segmentation", folder / "segmentation.png", "--scores", path, "--slide", slide),
    )
    return path


def report(folder: Path) -> tuple[list[dict], str]:
    """Rows of scores.tsv, and the page with single spaces."""
    page, table = folder / "report.html", folder / "scores.tsv"
    run("report", "--scores", folder / "scores", "--report", page, "--table", table)
    rows = list(csv.DictReader(table.open(), delimiter="\t"))
    return rows, " ".join(page.read_text().split())


def test_a_new_metric_stands_in_the_score_file_the_table_and_the_page(tmp_path, add_metric, capsys):
    add_metric()
    for slide, invented_px in {"a": 3, "b": 6, "c": 0}.items():
        path = evaluate(tmp_path, slide, invented_px)
    assert [*json.loads(path.read_text())][-2:] == ["invented", "seal"]
    rows, page = report(tmp_path)
    assert list(rows[0])[-1] == "invented"
    assert {row["slide"]: row["invented"] for row in rows} == {"a": "0.05", "b": "0.1", "c": "0.0"}
    assert page.count("Invented area") >= 5  # headline, means, dots, explanation, slides
    assert "background that was segmented; 0 is perfect" in page
    assert "<dd>Share of the background that was taken for an object.</dd>" in page
    assert "0.050" in page and "0.100" in page and "not measured" not in page
    assert "invented area 0.050" in capsys.readouterr().out


def test_score_files_without_a_new_metric_stay_and_say_that_it_is_not_measured(
    tmp_path, add_metric, capsys
):
    old = evaluate(tmp_path, "old", 3).read_bytes()
    before, page = report(tmp_path)
    assert "not measured" not in page
    add_metric()
    (row,), page = report(tmp_path)
    assert (tmp_path / "scores" / "old.json").read_bytes() == old
    assert row == before[0] | {"invented": ""}
    assert '<div class="number">not measured</div>' in page
    assert "<td>not measured</td>" in page
    assert "invented area not measured" in capsys.readouterr().out
    evaluate(tmp_path, "new", 6)
    rows, page = report(tmp_path)
    assert [row["invented"] for row in rows] == ["0.1", ""]
    assert "measured on 1 of 2 slides" in page and "1 not measured" in page


@pytest.mark.parametrize("value", [1.5, -0.1, "low", True])
def test_a_new_metric_is_read_within_its_range(tmp_path, add_metric, value):
    add_metric()
    path = evaluate(tmp_path, "a", 3)
    values = json.loads(path.read_text())
    del values["seal"]
    path.write_text(json.dumps(sealed(values | {"invented": value})))
    with pytest.raises(InputError, match=r"a\.json: not a score file, or damaged"):
        read_score_file(path)


def test_what_is_in_every_score_file_must_be_there(tmp_path):
    path = evaluate(tmp_path, "a", 3)
    values = json.loads(path.read_text())
    del values["seal"]
    metrics = [METRICS.load(name) for name in METRICS.always]
    needed = [key for metric in metrics for key in metric.keys if key != "ignored_px"]
    for keys in [*([key] for key in needed), *(metric.keys for metric in metrics)]:
        rest = {key: value for key, value in values.items() if key not in keys}
        path.write_text(json.dumps(sealed(rest)))
        with pytest.raises(InputError, match="|".join(keys)):
            read_score_file(path)


def test_a_metric_writes_the_keys_that_it_declares(tmp_path):
    values = json.loads(evaluate(tmp_path, "a", 3).read_text())
    declared = [key for name in METRICS for key in METRICS.load(name).keys]
    assert [*values][4:-1] == declared


def test_columns_and_places_of_headlines_are_each_taken_once():
    columns = [score.column for name in METRICS for score in METRICS.load(name).scores]
    assert len(set(columns)) == len(columns)
    places = [score.headline for score in headlines()]
    assert places == list(range(1, len(places) + 1))
    assert not any(score.is_per_class for score in headlines())
    assert set(METRICS.always) <= set(METRICS)


def test_the_table_has_the_columns_that_readers_of_it_know():
    columns = [c for score in table_scores() for c in score.columns(["background", "cell"])]
    assert columns == [
        *("dice", "dice_background", "dice_cell", "iou_background", "iou_cell"),
        *("f1", "precision", "recall", "pixel_error", "rand_f1", "rand_split", "rand_merge"),
        *("information_f1", "splits_bits", "merges_bits"),
    ]
