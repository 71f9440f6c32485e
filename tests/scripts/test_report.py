"""The report step: its help, true runs on small stores, refusals."""

import csv
import json
import re
import runpy
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from overtile.planning.plan import Fold, Weights
from overtile.settings.checks import to_plain
from overtile.stores.digest import sealed
from overtile.stores.root import read_root, sealed_root
from overtile.stores.yaml_files import write_yaml
from tests.plans import small_plan

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """A picture with reference, a volume and a colour picture without; all segmented."""
    from overtile.ingest.pictures import write_picture
    from overtile.ingest.references import write_reference
    from overtile.readers.opening import open_raw

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
    from overtile.stores.digest import digest_file

    folder = small / "models" / "unet"
    (folder / "fold0").mkdir(parents=True)
    weights = Weights(10.0, 5.0, None, 1e-6, (0.75, 1.5))
    plan = small_plan(weights=weights, folds=(Fold(("plain",), ()),), epochs=2)
    write_yaml(folder / "plan.yaml", to_plain(plan))
    (folder / "fold0" / "history.tsv").write_text("epoch\tloss\n1\t0.9\n2\t0.5\n")
    done = {"best_epoch": 2, "best": {"epoch": 2, "loss": 0.5}, "best_sha256": "0" * 64}
    (folder / "fold0" / "fold.json").write_text(json.dumps(done))
    run = {"code": "0123456789abcdef", "started": "2026-01-02T03:04:05+00:00"}
    run |= {"versions": {"torch": "2.13.0"}, "content": digest_file(folder / "fold0" / "fold.json")}
    effort = {"seconds": 90.0, "device": "cpu", "precision": "fp32", "threads": 2}
    effort |= {"torch": "2.13.0", "runs": [run]}
    (folder / "fold0" / "effort.json").write_text(json.dumps(effort))
    (folder / "package").mkdir()
    members = {"members": [{"file": "fold0.safetensors", "sha256": "0" * 64}]}
    (folder / "package" / "plan.yaml").write_text(json.dumps(members))
    return folder


@dataclass
class Report:
    """What a run of the step left: its messages, the page, rows of the table by column."""

    code: int
    out: str
    error: str
    html: str = ""
    table: list = field(default_factory=list)


@pytest.fixture
def copied(small, scores, model, tmp_path, main):
    """A copy of the small archive, and a function that reports on it within this process."""
    folder = tmp_path / "archive"
    for name in ("slides", "scores", "models"):
        shutil.copytree(small / name, folder / name)
    (folder / "slides.tsv").write_text(
        "slide\tsplit\tlabels\nplain\ttest\tplain.tif\nvolume\ncolour\n"
    )

    def report() -> Report:
        page, table = folder / "report.html", folder / "scores.tsv"
        for file in (page, table):
            file.unlink(missing_ok=True)
        ended = main(
            *("report", "--scores", folder / "scores", "--report", page, "--table", table),
            *("--sheet", folder / "slides.tsv", "--slides", folder / "slides"),
            *("--models", folder / "models" / "unet"),
        )
        if ended[0]:
            assert not page.exists() and not table.exists()
            return Report(*ended)
        rows = list(csv.DictReader(table.open(), delimiter="\t"))
        return Report(*ended, page.read_text(), rows)

    return folder, report


@pytest.fixture
def main(capsys):
    """Like `step` within this process: exit code and what was said. For many runs of one step."""

    def run(name: str, *arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        script = runpy.run_path(str(ROOT / "scripts" / f"{name}.py"), run_name=name)
        return script["main"](list(map(str, arguments))), *capsys.readouterr()

    return run


def take_labels_out_of_the_sheet(folder):
    sheet = folder / "slides.tsv"
    sheet.write_text(sheet.read_text().replace("plain.tif", ""))
    return "plain by unet: the sheet has no labels for this slide"


def take_the_column_out_of_the_sheet(folder):
    (folder / "slides.tsv").write_text("slide\tsplit\nplain\ttest\nvolume\t\n")
    return "plain by unet: the sheet has no labels for this slide"


def take_the_slide_out_of_the_sheet(folder):
    (folder / "slides.tsv").write_text("slide\tlabels\nvolume\t\n")
    return "plain by unet: the sheet has no such slide"


def remove_the_reference(folder):
    shutil.rmtree(folder / "slides" / "plain.ome.zarr" / "labels" / "reference")
    return "plain by unet: the slide has no labels/reference"


def segment_otherwise(folder):
    labels = folder / "slides" / "plain.ome.zarr" / "labels"
    shutil.rmtree(labels / "unet")
    shutil.copytree(labels / "reference", labels / "unet")
    return "plain by unet: labels/unet is not what was compared: evaluate the slide again"


def change_the_reference(folder):
    labels = folder / "slides" / "plain.ome.zarr" / "labels"
    shutil.rmtree(labels / "reference")
    shutil.copytree(labels / "unet", labels / "reference")
    return "plain by unet: labels/reference is not what was compared: evaluate the slide again"


@pytest.mark.parametrize(
    "change",
    [
        take_labels_out_of_the_sheet,
        take_the_column_out_of_the_sheet,
        take_the_slide_out_of_the_sheet,
        remove_the_reference,
        segment_otherwise,
        change_the_reference,
    ],
)
def test_a_score_counts_only_as_long_as_its_labels_are_those_that_were_compared(copied, change):
    folder, report = copied
    before = report()
    assert "object f1 0.800" in before.out and "0.800" in before.html
    assert "do not count" not in before.html
    assert [row["f1"] for row in before.table] == ["0.8", "", ""]
    why = change(folder)
    after = report()
    assert after.code == 0, after.error
    assert "f1" not in after.out and "scores that do not count: 1" in after.out
    assert "0.800" not in after.html and f"<li>{why}</li>" in after.html
    known = {"slide", "model", "split", "objects", "objects_reference"}
    assert not any(row[key] for row in after.table for key in row.keys() - known)
    if change in (take_labels_out_of_the_sheet, take_the_column_out_of_the_sheet):
        assert not any(row["objects_reference"] for row in after.table)


def test_a_score_that_compared_other_classes_by_number_does_not_count(copied):
    folder, report = copied
    path, labels = (
        folder / "scores" / "unet" / "plain.json",
        folder / "slides/plain.ome.zarr/labels",
    )
    score = json.loads(path.read_text())
    del score["seal"]
    path.write_text(json.dumps(score))
    assert "object f1 0.800" in report().out
    classes = labels / "unet" / "classes" / "zarr.json"
    root = read_root(classes.parent)
    other = root.own | {"class_names": ["cell", "background"]}
    classes.write_text(json.dumps(sealed_root(root.ome, other, root.arrays)))
    after = report()
    assert "f1" not in after.out and "scores that do not count: 1" in after.out
    assert "plain by unet: an earlier version compared its classes by number" in after.html
    assert str(path) in after.html


def test_of_many_scores_that_do_not_count_twenty_are_named(copied):
    folder, report = copied
    score = json.loads((folder / "scores/unet/plain.json").read_text())
    del score["seal"]
    for number in range(22):
        path = folder / "scores" / "unet" / f"old{number:02d}.json"
        path.write_text(json.dumps(sealed(score | {"slide": path.stem})))
    html = report().html
    assert html.count("the sheet has no such slide") == 20
    assert "<li>old19 by unet" in html and "<li>and 2 more</li>" in html


@pytest.mark.parametrize("attributes", [{"ome": {"version": "0.5", "image-label": {}}}, {}])
def test_a_label_store_of_another_program_changes_nothing(copied, attributes):
    folder, report = copied
    before = report()
    foreign = folder / "slides" / "plain.ome.zarr" / "labels" / "drawn by hand"
    group = zarr.create_group(foreign, attributes=attributes)
    group.create_array("0", shape=(1, 90, 120), dtype="uint8")
    assert report() == before


def test_a_label_store_of_this_project_that_is_damaged_is_refused_in_one_line(copied):
    folder, report = copied
    root = folder / "slides" / "plain.ome.zarr" / "labels" / "unet" / "zarr.json"
    root.write_text(root.read_text().replace('"holds"', '"holbs"'))
    run = report()
    assert (run.code, run.error.count("\n")) == (1, 1)
    assert "labels/unet" in run.error


@pytest.mark.parametrize(
    "name",
    [
        *("scores/unet/plain.json", "models/unet/plan.yaml", "models/unet/package/plan.yaml"),
        *("models/unet/fold0/fold.json", "models/unet/fold0/history.tsv"),
        *("slides/plain.ome.zarr/zarr.json", "slides/plain.ome.zarr/labels/reference/zarr.json"),
        *("slides/plain.ome.zarr/0/c/0/0/0/0", "slides/plain.ome.zarr/labels/unet/0/zarr.json"),
    ],
)
def test_a_damaged_file_is_named_in_one_line_and_nothing_is_written(copied, name):
    folder, report = copied
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    run = report()
    assert (run.code, run.error.count("\n")) == (1, 1)
    assert any(str(folder / part) in run.error for part in (Path(name), *Path(name).parents[:-2]))


def test_help_names_the_flags(done):
    assert "--scores" in done("report", "--help").stdout


def test_a_whole_report_is_one_file_and_the_same_bytes_each_time(
    small, scores, model, done, done_cold
):
    sheet = small / "slides.tsv"
    sheet.write_text("slide\tsplit\tlabels\nplain\ttest\tplain.tif\nvolume\ncolour\nmissing\n")
    pages = []
    for number, run_step in enumerate((done, done_cold)):
        page = small / f"report{number}.html"
        run = run_step(
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
    assert "Border weights" in html
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
    values = json.loads(scores.read_text()) | {"slide": HOSTILE, "model": "=1"}
    del values["seal"]
    odd.write_text(json.dumps(sealed(values)))
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
