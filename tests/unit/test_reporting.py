"""The report: what is read, averaged, drawn and escaped."""

import io
import json
import platform
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from overtile import provenance
from overtile.errors import InputError
from overtile.planning.plan import Fold
from overtile.reporting import inputs, models, page, pictures, planes, plots, summary, table, window
from overtile.reporting.inputs import Archive, Result, Slide
from overtile.settings.checks import to_plain
from overtile.stores.yaml_files import write_yaml
from overtile_workflow.sheet import read_sheet as read_workflow_sheet
from tests.plans import small_plan

HOSTILE = "<script>alert(1)</script>"


def score_values(slide: str, f1: float | None = 0.8, model: str = "unet") -> dict:
    """A score file as evaluate.py writes it."""
    overlap = {"dice": 0.9, "iou": 0.8, "reference_px": 10, "segmented_px": 9}
    return {
        "slide": slide,
        "model": model,
        "pixels": 100,
        "pixel_error": 0.1,
        "classes": {"background": overlap, "cell": overlap | {"dice": 0.7}},
        "objects": {
            "iou_threshold": 0.5,
            "reference": 5,
            "segmented": 4,
            "matched": 3,
            "precision": 0.75,
            "recall": 0.6,
            "f1": f1,
        },
        "rand": None,
        "information": {"f1": 0.5, "splits_bits": 0.1, "merges_bits": 0.2},
    }


def result(slide: str, f1: float | None, split: str = "test", model: str = "unet") -> Result:
    scores = {"f1": f1, "dice": 0.5, "iou": 0.4, "pixel_error": 0.1}
    return Result(Slide(slide, split), model, 4, 5, scores)


def archive_of(results: list[Result]) -> Archive:
    slides = tuple(dict.fromkeys(r.slide for r in results))
    return Archive(slides, ("unet",), tuple(results), ())


@pytest.fixture
def score_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "scores" / "unet"
    folder.mkdir(parents=True)
    for name, f1 in {"a": 0.2, "b": 0.9, "c": None}.items():
        (folder / f"{name}.json").write_text(json.dumps(score_values(name, f1)))
    return folder.parent


def test_a_score_file_becomes_the_columns_of_the_table(score_folder):
    score = inputs.read_score(score_folder / "unet" / "a.json")
    assert (score.slide, score.model, score.found, score.reference) == ("a", "unet", 4, 5)
    assert score.values["dice"] == score.values["dice_cell"] == 0.7
    assert score.values["dice_background"] == 0.9
    assert score.values["rand_f1"] is None
    assert score.values["information_f1"] == 0.5


@pytest.mark.parametrize(
    "change", [{"objects": None}, {"classes": [1]}, {"pixel_error": "low"}, {"rand": {}}]
)
def test_a_file_that_is_no_score_is_refused_by_name(tmp_path, change):
    path = tmp_path / "odd.json"
    path.write_text(json.dumps(score_values("a") | change))
    with pytest.raises(InputError, match=r"odd\.json.*evaluate\.py"):
        inputs.read_score(path)


@pytest.mark.parametrize("text", ["[]", "3", "{}", "not json", '{"pixel_error": NaN}'])
def test_other_json_is_refused(tmp_path, text):
    path = tmp_path / "odd.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"odd\.json"):
        inputs.read_score(path)


def test_the_same_slide_scored_twice_is_refused(score_folder):
    copy = score_folder / "copy.json"
    copy.write_text(json.dumps(score_values("a")))
    with pytest.raises(InputError, match="give one of them"):
        inputs.load_archive([score_folder], None, None, [], "reference")


def test_a_file_named_twice_counts_once(score_folder):
    file = score_folder / "unet" / "a.json"
    assert len(inputs.find_scores([file, score_folder, file])) == 3


def test_the_sheet_says_which_slides_count_and_in_what_order(score_folder, tmp_path):
    sheet = tmp_path / "slides.tsv"
    sheet.write_text("slide\timage\tlabels\tsplit\tgroup\nb\tb.tif\t\ttest\t\nnew\tn.tif\t\t\t\n")
    archive = inputs.load_archive([score_folder], sheet, None, [], "reference")
    assert [(s.name, s.split) for s in archive.slides] == [("b", "test"), ("new", "predict only")]
    assert [bool(r.scores) for r in archive.results] == [True, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slide,split\na,test\n", "no column"),
        ("slide\tsplit\na\texam\n", "'exam'; allowed: train, val, test"),
        ("slide\tsplit\na\ttest\na\tval\n", "twice"),
        ("slide\tsplit\na\ttest\tx\n", "line 2: has 3 cells for 2 columns"),
        ("", "no column"),
    ],
)
def test_a_wrong_sheet_is_refused(tmp_path, text, message):
    sheet = tmp_path / "slides.tsv"
    sheet.write_text(text)
    with pytest.raises(InputError, match=message):
        inputs.read_sheet(sheet)


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
    slides = inputs.read_sheet(path)
    rows = read_workflow_sheet(str(path), str(tmp_path)).values()
    assert [(s.name, s.split, s.group) for s in slides] == [
        (row.slide, row.split or inputs.PREDICT_ONLY, row.group) for row in rows
    ]
    assert [s.name for s in slides] == ["a", "b", "c"]


def test_nothing_to_report_is_refused():
    with pytest.raises(InputError, match="no slides"):
        inputs.load_archive([], None, None, [], "reference")


def test_missing_values_leave_the_mean_alone_and_are_counted():
    estimate = summary.estimate([None, 0.25, 0.75, None])
    assert (estimate.mean, estimate.n, estimate.missing) == (0.5, 2, 2)
    assert estimate.low is estimate.high is None


def test_no_value_at_all_has_no_mean():
    assert summary.estimate([None]) == summary.Estimate(None, None, None, 0, 1)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=3, max_size=30))
def test_the_interval_holds_the_mean_inside_the_values_range(values):
    estimate = summary.estimate(values)
    slack = 1e-12
    assert min(values) - slack <= estimate.low <= estimate.mean + slack
    assert estimate.mean - slack <= estimate.high <= max(values) + slack
    assert estimate == summary.estimate(values)


def test_the_interval_narrows_like_the_standard_error():
    values = np.random.default_rng(0).normal(0.5, 0.1, 400).tolist()
    estimate = summary.estimate(values)
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * 0.1 / 20, rel=0.15)


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


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", " =1", "\t=1"])
def test_no_name_is_a_formula_to_a_spreadsheet(name):
    cell = table.safe_cell(name)
    assert cell.startswith("'")
    assert "\t" not in cell


def test_boxes_hold_the_most_of_a_mask():
    mask = np.zeros((20, 30), dtype=bool)
    mask[12:15, 20:23] = True
    mask[2, 2] = True
    rows, columns = window.densest_box(mask, 5)
    assert mask[rows, columns].sum() == 9
    assert window.densest_box(np.zeros((9, 9), dtype=bool), 3) == (slice(3, 6), slice(3, 6))


def test_a_shift_within_the_tolerance_is_no_disagreement():
    one = np.zeros((60, 60), dtype=int)
    one[10:20, 10:20] = 1
    missed = one.copy()
    missed[40:50, 40:50] = 2
    shifted = np.roll(one, 1, axis=0)
    found = window.disagreement(missed, shifted, one.shape)
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
    one, two = (plots.strip_plot(archive, rows, summary.HEADLINES[0]) for _ in range(2))
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


@pytest.mark.parametrize("text", ["epoch\tloss\n1\tlow\n", "a\tb\n1\t2\n", "epoch\tloss\n1\n"])
def test_a_broken_history_is_refused(tmp_path, text):
    path = tmp_path / "history.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=r"history\.tsv"):
        models.read_history(path)


def test_a_plan_of_something_else_is_refused(tmp_path):
    (tmp_path / "plan.yaml").write_text("a: 1\n")
    with pytest.raises(InputError, match=r"plan\.yaml.*plan\.py"):
        models.read_model(tmp_path)


def test_only_folds_of_the_plan_are_shown(tmp_path):
    plan = small_plan(folds=(Fold(("one",), ()),) * 3)
    write_yaml(tmp_path / "plan.yaml", to_plain(plan))
    for number in (0, 2, 3):
        (tmp_path / f"fold{number}").mkdir()
        (tmp_path / f"fold{number}" / "history.tsv").write_text(f"epoch\tloss\n1\t{number}\n")
    model = models.read_model(tmp_path)
    assert [(f.number, f.history["loss"]) for f in model.folds] == [(0, [0.0]), (2, [2.0])]


@pytest.mark.parametrize(
    ("seconds", "text"), [(45.2, "45 s"), (720, "12 min"), (11100, "3 h 05 min")]
)
def test_times_are_for_people(seconds, text):
    assert models.duration(seconds) == text


def test_names_from_outside_are_escaped_on_the_page():
    archive = archive_of([result(HOSTILE, 0.5)])
    html = page.render_page(archive, [], {"python": "3"}, HOSTILE, HOSTILE)
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_few_slides_have_no_interval_and_it_is_said():
    html = page.render_page(archive_of([result("a", 0.5), result("b", 1.0)]), [], {}, "T", None)
    assert "n = 2: too few slides for an interval" in html


def test_an_archive_without_scores_still_has_a_page():
    archive = archive_of([Result(Slide("new", inputs.PREDICT_ONLY), "unet", found=1234)])
    html = page.render_page(archive, [], {}, "T", None)
    assert "1\u202f234" in html
    assert "no scores" in html


@pytest.mark.parametrize(
    ("thresholds", "text"),
    [
        ([0.3], "(IoU of 0.3 or more)"),
        ([0.7, 0.5, 0.7], "(IoU of 0.5 or 0.7 or more, as set for its score file)"),
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
