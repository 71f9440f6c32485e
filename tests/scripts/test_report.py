"""The report step: its help, true runs on small stores, refusals."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile

from overtile.planning.plan import Fold, Weights
from overtile.settings.checks import to_plain
from overtile.stores.yaml_files import write_yaml
from tests.plans import small_plan

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """A picture with reference, a volume and a colour picture without; all segmented."""
    from overtile.images.opening import open_raw
    from overtile.stores.ingest import write_picture
    from overtile.stores.reference import write_reference

    folder = tmp_path_factory.mktemp("archive")
    rng = np.random.default_rng(0)
    shapes = {"plain": (90, 120), "volume": (6, 30, 40), "colour": (50, 70, 3)}
    for name, shape in shapes.items():
        raw, store = folder / f"{name}.tif", folder / "slides" / f"{name}.ome.zarr"
        photometric = "rgb" if name == "colour" else "minisblack"
        pixels = rng.integers(0, 200, shape, dtype=np.uint8)
        tifffile.imwrite(raw, pixels, photometric=photometric)
        write_picture(open_raw(raw), store, "key", None, None)
        labels = np.zeros(shape[:2] if name == "colour" else shape, dtype=np.uint16)
        labels[..., 5:15, 5:15], labels[..., 20:28, 25:35] = 1, 2
        for label in ("unet", "reference") if name == "plain" else ("unet",):
            tifffile.imwrite(raw, labels, photometric="minisblack")
            names, values = ["background", "cell"], [0, 1]
            target = store / "labels" / label
            write_reference(open_raw(raw), target, "key", "instances", names, values, None, None)
            labels[..., 40:50, 40:50] = 3
    return folder


@pytest.fixture(scope="module")
def scores(small, done) -> Path:
    path = small / "scores" / "unet" / "plain.json"
    store = small / "slides" / "plain.ome.zarr" / "labels"
    done(
        *("evaluate", "--reference", store / "reference", "--segmentation", store / "unet"),
        *("--scores", path, "--slide", "plain", "--model-name", "unet"),
    )
    return path


@pytest.fixture(scope="module")
def model(small) -> Path:
    folder = small / "models" / "unet"
    (folder / "fold0").mkdir(parents=True)
    weights = Weights(10.0, 5.0, None, 1e-6, (0.75, 1.5))
    plan = small_plan(weights=weights, folds=(Fold(("plain",), ()),), epochs=2)
    write_yaml(folder / "plan.yaml", to_plain(plan))
    (folder / "fold0" / "history.tsv").write_text("epoch\tloss\n1\t0.9\n2\t0.5\n")
    return folder


def test_help_names_the_flags(done):
    assert "--scores" in done("report", "--help").stdout


def test_a_whole_report_is_one_file_and_the_same_bytes_each_time(small, scores, model, done):
    sheet = small / "slides.tsv"
    sheet.write_text("slide\tsplit\nplain\ttest\nvolume\t\ncolour\t\nmissing\t\n")
    pages = []
    for number in range(2):
        page = small / f"report{number}.html"
        run = done(
            *("report", "--scores", scores.parent.parent, "--report", page, "--sheet", sheet),
            *("--slides", small / "slides", "--models", model, "--title", "Trial & error"),
            *("--table", small / "scores.tsv"),
        )
        pages.append(page.read_text())
    assert pages[0] == pages[1]
    assert "Trial &amp; error" in pages[0]
    assert pages[0].count("data:image/png") == 2
    assert "<script" not in pages[0]
    assert 'src="http' not in pages[0]
    assert "unet, test (n = 1): object f1 0.800" in run.stdout
    rows = (small / "scores.tsv").read_text().splitlines()
    assert [row.split("\t")[:5] for row in rows[1:]] == [
        ["plain", "unet", "test", "2", "3"],
        ["volume", "unet", "predict only", "2", ""],
        ["colour", "unet", "predict only", "2", ""],
    ]


def test_an_archive_without_references_gets_pictures_and_counts(small, done):
    page = small / "blind.html"
    sheet = small / "blind.tsv"
    sheet.write_text("slide\tsplit\nvolume\t\ncolour\t\n")
    run = done("report", "--report", page, "--slides", small / "slides", "--sheet", sheet)
    assert "unet: " in run.stdout
    html = page.read_text()
    assert html.count("data:image/png") == 4
    assert "plane 4 of 6" in html


def test_a_training_patch_shows_what_borders_weigh(small, model, tmp_path, done, step):
    target = small / "slides" / "plain.ome.zarr" / "labels" / "reference"
    maps = tmp_path / "plain.zarr"
    done("weigh", "--labels", target, "--weights", maps, "--class-weights", 0.75, 1.5)
    page = tmp_path / "report.html"
    flags = ["--report", page, "--slides", small / "slides", "--models", model, "--weights", maps]
    done("report", *flags, "--targets", target)
    html = page.read_text()
    assert "What borders weigh" in html
    assert 'alt="A training patch of slide plain"' in html
    page.unlink()
    other = step("report", *flags, "--targets", target.parent / "unet")
    assert other.returncode == 1
    assert other.stderr.startswith(f"report.py: {maps}: is the weight map of labels ")
    assert other.stderr.count("\n") == 1
    assert step("report", *flags).returncode == 1
    assert not page.exists()


def test_a_sheet_needs_no_split_and_a_title_may_begin_with_a_dash(small, done):
    page, sheet = small / "plain.html", small / "plain.tsv"
    sheet.write_text("slide\timage\nvolume\tvolume.tif\n")
    flags = ("--report", page, "--slides", small / "slides", "--sheet", sheet)
    done("report", *flags, "--title=-draft", "--table", small / "plain_scores.tsv")
    assert "<title>-draft" in page.read_text()
    assert "volume\tunet\tpredict only\t" in (small / "plain_scores.tsv").read_text()


@pytest.mark.parametrize("rule", ["crate", "report", "ingest"])
def test_a_flag_and_what_people_wrote_are_one_word_of_the_command(rule):
    """Titles, licences and names of raw files may begin with a dash."""
    text = (ROOT / "workflow" / "rules" / f"{rule}.smk").read_text()
    flags = re.findall(r"--(?:title|licence|image|labels)(.)", text)
    assert flags and set(flags) == {"="}


def test_a_hostile_slide_name_stays_text(tmp_path, scores, done):
    odd = tmp_path / "odd.json"
    odd.write_text(json.dumps(json.loads(scores.read_text()) | {"slide": HOSTILE, "model": "=1"}))
    page, table = tmp_path / "report.html", tmp_path / "scores.tsv"
    done("report", "--scores", odd, "--report", page, "--table", table)
    assert "<script" not in page.read_text()
    assert "\t'=1\t" in table.read_text()


def test_a_file_that_is_no_score_is_refused_in_one_line(tmp_path, step):
    odd = tmp_path / "odd.json"
    odd.write_text('{"a": 1}')
    run = step("report", "--scores", odd, "--report", tmp_path / "report.html")
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert "odd.json: not a score file" in run.stderr
    assert not (tmp_path / "report.html").exists()


def test_a_missing_file_is_refused(tmp_path, step):
    run = step("report", "--scores", tmp_path / "none.json", "--report", tmp_path / "r.html")
    assert run.returncode == 1
    assert "none.json: no such file" in run.stderr
