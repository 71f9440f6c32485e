"""The report: what is read, averaged, drawn and escaped."""

import csv
import io
import json
import platform
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from overtile import provenance
from overtile.errors import InputError
from overtile.ingest import catalogue
from overtile.ingest.catalogue import Slide
from overtile.metrics.registry import headlines
from overtile.planning.plan import Fold
from overtile.reporting import (
    closeup,
    inputs,
    models,
    page,
    pictures,
    planes,
    plots,
    summary,
    table,
    training_cost,
)
from overtile.reporting import (
    left_out as left_out_module,
)
from overtile.reporting.inputs import Archive, Result
from overtile.settings.checks import to_plain
from overtile.stores.yaml_files import write_yaml
from overtile_workflow.sheet import read_sheet as read_workflow_sheet
from tests.plans import small_plan
from tests.scores import score_values

HOSTILE = "<script>alert(1)</script>"


def result(slide: str, f1: float | None, split: str = "test", model: str = "unet") -> Result:
    scores = {"f1": f1, "dice": 0.5, "iou": 0.4, "pixel_error": 0.1}
    return Result(Slide(slide, split), model, 4, 5, scores)


def archive_of(results: list[Result]) -> Archive:
    slides = tuple(dict.fromkeys(r.slide for r in results))
    return Archive(slides, ("unet",), tuple(results), ())


def test_the_same_slide_scored_twice_is_refused(score_folder):
    copy = score_folder / "copy.json"
    copy.write_text(json.dumps(score_values("a")))
    with pytest.raises(InputError, match="give one of them"):
        inputs.load_archive([score_folder], None, None, [], "reference")


def test_the_sheet_says_which_slides_count_and_in_what_order(score_folder, tmp_path):
    path = tmp_path / "slides.tsv"
    path.write_text("slide\timage\tlabels\tsplit\nb\tb.tif\tl.tif\ttest\nnew\tn.tif\t\t\n")
    archive = inputs.load_archive([score_folder], path, None, [], "reference")
    assert [(s.name, s.split) for s in archive.slides] == [("b", "test"), ("new", "predict only")]
    assert [bool(r.scores) for r in archive.results] == [True, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slide,split\na,test\n", "no column"),
        ("slide\tsplit\na\texam\n", "'exam'; allowed: train, val, test"),
        ("slide\tsplit\na\ttest\na\tval\n", "in two rows"),
        ("slide\tsplit\na\ttest\tx\n", "line 2: has 3 cells, but the header has 2"),
        ("", "no column"),
    ],
)
def test_a_wrong_sheet_is_refused(tmp_path, text, message):
    path = tmp_path / "slides.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        catalogue.read_sheet(path)


def test_the_sheet_is_read_as_the_workflow_reads_it(tmp_path):
    image = "a.tif"
    (tmp_path / image).touch()
    lines = [
        "slide\timage\tlabels\tsplit\tgroup ",
        f"# old\t{image}",
        f" a \t{image}\t{image}\t test\tone",
        "",
        "\t\t",
        f"b\t{image}",
        f'c\t{image}\t\t\t"12 "o\'clock',
    ]
    path = tmp_path / "slides.tsv"
    path.write_text("\n".join(lines), encoding="utf-8-sig")
    slides = catalogue.read_sheet(path)
    rows = read_workflow_sheet(str(path), str(tmp_path)).values()
    assert [(s.name, s.split, s.group) for s in slides] == [
        (row.slide, row.split or catalogue.PREDICT_ONLY, row.group) for row in rows
    ]
    assert [s.name for s in slides] == ["a", "b", "c"]


def test_nothing_to_report_is_refused():
    with pytest.raises(InputError, match="no slides"):
        inputs.load_archive([], None, None, [], "reference")


def test_worst_and_best_come_from_the_test_slides_and_never_overlap():
    test = [result(name, f1) for name, f1 in zip("abcd", (0.9, 0.1, 0.5, None), strict=True)]
    archive = archive_of([*test, result("t", 0.0, "train")])
    worst, best = summary.extremes(archive, "unet")
    assert [r.slide.name for r in worst] == ["b", "c"]
    assert [r.slide.name for r in best] == ["a"]


def test_headlines_come_from_the_split_that_tells_most():
    archive = archive_of([result("a", 0.9, "train"), result("b", 0.5, "val")])
    (row,) = page.headline_rows(summary.summarise(archive))
    assert (row.split, row.estimates["f1"].mean) == ("val", 0.5)


def test_of_many_slides_the_worst_500_are_shown():
    rows, total = page.slide_rows(archive_of([result(str(n), n / 1000) for n in range(700)]))
    assert (len(rows), total) == (500, 700)
    assert rows[0].slide.name == "0"
    assert max(r.scores["f1"] for r in rows) == 0.499


def test_the_table_leaves_unknown_cells_empty_and_unsegmented_slides_out():
    todo = Result(Slide("todo", "test"), "unet")
    lines = table.as_tsv(archive_of([result("a", None), todo])).splitlines()
    cells = dict(zip(*(line.split("\t") for line in lines), strict=True))
    assert len(lines) == 2
    assert (cells["slide"], cells["objects"], cells["f1"], cells["dice"]) == ("a", "4", "", "0.5")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", " =1", "\t=1", '"=1"', "'=1"])
def test_no_name_is_a_formula_to_a_spreadsheet(name):
    cell = table.safe_cell(name)
    assert cell.startswith("'")
    assert "\t" not in cell


def test_boxes_hold_the_most_of_a_mask():
    mask = np.zeros((20, 30), dtype=bool)
    mask[12:15, 20:23] = True
    mask[2, 2] = True
    rows, columns = closeup.densest_box(mask, 5)
    assert mask[rows, columns].sum() == 9
    assert closeup.densest_box(np.zeros((9, 9), dtype=bool), 3) == (slice(3, 6), slice(3, 6))


def test_a_shift_within_the_tolerance_is_no_disagreement():
    one = np.zeros((60, 60), dtype=int)
    one[10:20, 10:20] = 1
    missed = one.copy()
    missed[40:50, 40:50] = 2
    shifted = np.roll(one, 1, axis=0)
    found = closeup.disagreement(missed, shifted, one.shape)
    assert found[40:50, 40:50].any()
    assert not found[:30, :30].any()


def test_outlines_show_in_the_colour_of_who_drew_them():
    plane = np.zeros((64, 64), dtype=np.uint8)
    labels = [np.zeros((64, 64), dtype=int) for _ in range(2)]
    labels[0][4:14, 4:14] = 1
    labels[1][40:50, 40:50] = 1
    for one in labels:
        one[4:14, 40:50] = 2
    png = pictures._draw(plane, (0, 1), labels, 0)
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    factor = 1024 // 64
    assert picture.shape == (1024, 1024, 3)
    assert tuple(picture[4 * factor, 9 * factor]) == pictures.REFERENCE
    assert tuple(picture[40 * factor, 45 * factor]) == pictures.SEGMENTATION
    assert tuple(picture[4 * factor, 45 * factor]) == pictures.BOTH


def test_colour_pictures_keep_their_colours():
    plane = np.zeros((4, 4, 3), dtype=np.uint8)
    plane[:2] = (200, 10, 10)
    pixels, palette = pictures.indexed_colours(plane, (0, 255))
    np.testing.assert_allclose(np.array(palette)[pixels], plane, atol=3)


def test_plots_are_the_same_bytes_each_time_and_escape_names():
    archive = archive_of([replace(result(str(n), n / 9), model=HOSTILE) for n in range(9)])
    archive = replace(archive, models=(HOSTILE, "$x_"))
    rows = summary.summarise(archive)
    one, two = (plots.strip_plot(archive, rows, headlines()[0]) for _ in range(2))
    assert one == two
    assert "<script" not in one
    assert "<metadata" not in one


def test_dots_are_spread_within_their_strip():
    offsets = plots.spread(np.zeros(50))
    assert len(set(offsets)) == 50
    assert np.abs(offsets).max() <= 0.28


def test_a_history_without_validation_is_read(tmp_path):
    path = tmp_path / "history.tsv"
    path.write_text("epoch\tlearning_rate\tloss\n1\t0.1\t0.5\n2\t0.05\t0.4\n")
    assert models.read_history(path)["loss"] == [0.5, 0.4]
    assert models.read_history(tmp_path / "none.tsv") == {}


def test_an_epoch_in_which_a_class_was_not_measured_is_a_gap(tmp_path):
    path = tmp_path / "history.tsv"
    head = "epoch\tloss\tvalidation_dice\tvalidation_dice_cell\n"
    path.write_text(head + "1\t0.5\t\t\n2\t0.4\t0.8\t0.7\n3\t0.3\t\t0.9\n4\t0.3\t0.8\t\n")
    history = models.read_history(path)
    np.testing.assert_array_equal(history["validation_dice"], [np.nan, 0.8, np.nan, 0.8])
    assert plots.single_epochs(history["validation_dice"]) == [1, 3]
    assert plots.single_epochs([1.0, 2.0, np.nan, 1.0]) == [3]
    for best in (1, 2, None):
        fold = models.Fold(0, history, best, training_cost.TrainingCost())
        drawn = plots.curve_plots(models.Model("m", (), (fold,), {}), 0)
        assert [title for title, _ in drawn] == ["Loss", "Validation Dice"]
        assert "nan" not in drawn[1][1].lower()
    nothing = replace(fold, history=history | {"validation_dice": [np.nan] * 4})
    drawn = plots.curve_plots(models.Model("m", (), (nothing,), {}), 0)
    assert [title for title, _ in drawn] == ["Loss"]


@pytest.mark.parametrize(
    "text",
    [
        "epoch\tloss\n1\tlow\n",
        "a\tb\n1\t2\n",
        "epoch\tloss\n1\n",
        "epoch\tloss\n1\t\n",
        "epoch\tloss\n1\tnan\n",
        "epoch\tloss\n1\t0.5\n3\t0.4\n",
        "epoch\tloss\n",
        "",
    ],
)
def test_a_broken_history_is_refused(tmp_path, text):
    path = tmp_path / "history.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=r"history\.tsv"):
        models.read_history(path)


def test_a_plan_of_something_else_is_refused(tmp_path):
    (tmp_path / "plan.yaml").write_text("a: 1\n")
    with pytest.raises(InputError, match=r"plan\.yaml.*plan\.py"):
        models.read_model(tmp_path, lambda *_: "code")


def test_only_folds_of_the_plan_are_shown(tmp_path):
    plan = small_plan(folds=(Fold(("one",), ()),) * 3)
    write_yaml(tmp_path / "plan.yaml", to_plain(plan))
    for number in (0, 2, 3):
        (tmp_path / f"fold{number}").mkdir()
        (tmp_path / f"fold{number}" / "history.tsv").write_text(f"epoch\tloss\n1\t{number}\n")
    model = models.read_model(tmp_path, lambda *_: "code")
    assert [(f.number, f.history["loss"]) for f in model.folds] == [(0, [0.0]), (2, [2.0])]


@pytest.mark.parametrize(
    ("seconds", "text"), [(45.2, "45 s"), (720, "12 min"), (11100, "3 h 05 min")]
)
def test_times_are_for_people(seconds, text):
    assert training_cost.duration(seconds) == text


NASTY = [
    HOSTILE,
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    'a id="a" url(#b) &lt;',
    "'a`",
]


@pytest.mark.parametrize("nasty", NASTY)
def test_names_from_outside_are_text_wherever_they_stand_on_the_page(tmp_path, nasty):
    slides = [Slide(f"{n}{nasty}", "test", nasty) for n in range(4)]
    scores = {"f1": 0.4, "dice": 0.5, f"dice_{nasty}": 0.5, "iou": 0.4, "pixel_error": 0.1}
    results = tuple(Result(slide, m, 4, 5, scores) for slide in slides for m in (nasty, "b"))
    left_out = (left_out_module.LeftOut(nasty, nasty, nasty),)
    archive = Archive(tuple(slides), (nasty, "b"), results, (nasty,), left_out=left_out)
    curve = {"epoch": [1.0], "loss": [0.5], f"validation_dice_{nasty}": [0.5]}
    fold = models.Fold(0, curve, 1, training_cost.TrainingCost())
    model = models.Model(nasty, ((nasty, nasty),), (fold,), {})
    html = page.render_page(archive, [model], {nasty: nasty}, nasty, nasty)
    parsed = parse(html)
    plain = parse(page.render_page(*named("x", archive, model), {"x": "x"}, "x", "x"))
    assert parsed.tags == plain.tags
    shown = [" ".join(text.split()) for text in parsed.texts]
    wanted = " ".join(nasty.split())
    for where in (
        f"0{wanted}",
        f"Dice {wanted}",
        f"{wanted} {wanted}.",
        f"All scores are in {wanted}",
    ):
        assert any(where in text for text in shown), where
    assert sum(text.startswith(wanted[:17]) for text in parsed.svg_texts) >= 3


def named(name: str, archive: Archive, model: models.Model) -> tuple[Archive, list[models.Model]]:
    """The same archive and model with a plain name in place of a nasty one."""
    nasty = archive.models[0]
    results = tuple(
        replace(
            r,
            model=name if r.model == nasty else r.model,
            slide=replace(r.slide, name=r.slide.name.replace(nasty, name), group=name),
            scores={key.replace(nasty, name): value for key, value in r.scores.items()},
        )
        for r in archive.results
    )
    slides = tuple(dict.fromkeys(r.slide for r in results))
    left_out = (left_out_module.LeftOut(name, name, name),)
    plain = Archive(slides, (name, "b"), results, (name,), left_out=left_out)
    return plain, [replace(model, name=name, facts=((name, name),))]


class Parsed(HTMLParser):
    """Tags with the names of their attributes, and texts; those in plots apart."""

    def __init__(self):
        super().__init__()
        self.tags, self.svg_tags = [], set()
        self.texts, self.svg_texts, self._inside = [], [], []

    def handle_starttag(self, tag, attributes):
        names = (tag, *sorted(name for name, _ in attributes))
        if "svg" in self._inside:
            self.svg_tags.add(names)
        else:
            self.tags.append(names)
        if tag not in ("meta", "img", "br"):
            self._inside.append(tag)

    def handle_endtag(self, tag):
        assert self._inside.pop() == tag

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_data(self, data):
        (self.svg_texts if "svg" in self._inside else self.texts).append(data)


def parse(html: str) -> Parsed:
    parsed = Parsed()
    parsed.feed(html)
    parsed.close()
    return parsed


@pytest.mark.parametrize("nasty", [*NASTY, '"=1+1"', 'a"b', "a\nb", "a\tb", "\x1b[31m"])
def test_the_table_has_the_same_cells_whatever_a_name_holds(nasty):
    named = Result(Slide(nasty, "test"), nasty, 4, 5, {"f1": 0.5, f"dice_{nasty}": 0.5})
    text = table.as_tsv(Archive((named.slide,), (nasty,), (named,), (nasty,)))
    rows = list(csv.reader(io.StringIO(text), delimiter="\t"))
    assert len(rows) == 2 and len(rows[0]) == len(rows[1])
    printable = "".join(c if c.isprintable() else " " for c in nasty)
    assert rows[1][0].removeprefix("'") == printable.removeprefix("'")
    assert f"dice_{printable}" in rows[0]


def test_few_slides_have_no_interval_and_it_is_said():
    html = page.render_page(archive_of([result("a", 0.5), result("b", 1.0)]), [], {}, "T", None)
    assert "n = 2: too few slides for an interval" in html


def test_an_archive_without_scores_still_has_a_page():
    archive = archive_of([Result(Slide("new", catalogue.PREDICT_ONLY), "unet", found=1234)])
    html = page.render_page(archive, [], {}, "T", None)
    assert "1\u202f234" in html
    assert "no scores" in html


@pytest.mark.parametrize(
    ("thresholds", "text"),
    [
        ([0.3], "(IoU of at least 0.3)"),
        ([0.7, 0.5, 0.7], "(IoU of at least 0.5 or 0.7, as set for its score file)"),
    ],
)
def test_the_page_says_from_which_overlap_on_objects_match(tmp_path, thresholds, text):
    for number, threshold in enumerate(thresholds):
        values = score_values(f"s{number}")
        values["objects"]["iou_threshold"] = threshold
        (tmp_path / f"s{number}.json").write_text(json.dumps(values))
    archive = inputs.load_archive([tmp_path], None, None, [], "reference")
    html = page.render_page(archive, [], {}, "T", None)
    assert text in " ".join(html.split())


def test_only_installed_packages_have_a_version(monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGES", ("numpy", "no-such-package"))
    assert provenance.versions() == {"python": platform.python_version(), "numpy": np.__version__}


def test_contrast_leaves_out_the_brightest_and_keeps_stains():
    grey = np.arange(1000, dtype=np.uint16).reshape(25, 40)
    low, high = planes.contrast_limits(grey)
    assert (round(low), round(high)) == (10, 994)
    assert planes.contrast_limits(np.zeros((2, 2))) == (0, 1)
    assert planes.contrast_limits(np.full((2, 2, 3), 99, dtype=np.uint8)) == (0, 255)
