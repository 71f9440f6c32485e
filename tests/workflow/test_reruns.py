"""What runs again, and what does not: the true workflow on real nuclei.

All tests look at one archive after some weeks of use, and leave it as it was.
"""

import json
import os
import shutil
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from overtile.stores.store import Store
from tests.contents import contents
from tests.edits import WITH_EFFECT, WITHOUT_EFFECT, replace

CONFIG = {
    "labels": {"kind": "instances", "classes": ["background", "nucleus"]},
    "device": "cpu",
    "models": {
        "tiny": {
            "width": 4,
            "depth": 2,
            "norm": "batch",
            "tile_px": [64, 64],
            "epochs": 3,
            "steps_per_epoch": 4,
            "learning_rate": 0.003,
            "validation_tiles": 2,
        }
    },
}
PER_SLIDE = ("ingest_image", "predict_probabilities", "segment_objects")
ONE_SLIDE = dict.fromkeys((*PER_SLIDE, "write_report", "write_crate"), 1)


def rows_of(data: Path, count: int) -> list[tuple]:
    """Rows of the sheet: two to train on, one to validate, one to test, the rest unlabelled."""
    source = data / "nuclei_dsb2018" / "fluo"
    names = sorted(path.name for path in (source / "image").iterdir())[:count]
    splits = ["train", "train", "val", "test"] + [""] * count
    return [
        (
            f"n{i}",
            source / "image" / name,
            source / "label" / name if split else "",
            split,
            f"plate{i}",
        )
        for i, (name, split) in enumerate(zip(names, splits, strict=False))
    ]


@pytest.fixture(scope="module")
def new_project(make_project, data):
    return make_project(CONFIG, rows_of(data, 5))


@pytest.fixture(scope="module")
def first_run(new_project) -> tuple[dict[str, int], dict[str, dict[str, bytes]]]:
    """How often each rule ran, and the results: undisturbed, for those that are killed."""
    return new_project.run(), files_of(new_project.archive / "results")


@pytest.fixture(scope="module")
def weeks(new_project, first_run, data) -> dict[str, dict[str, int]]:
    """What an archive's runs did, one after the other, by what was changed before each."""
    project, ran = new_project, {"nothing": new_project.run()}
    with open(project.archive / "slides.tsv", "a") as sheet:
        sheet.write("\t".join(map(str, rows_of(data, 6)[-1])) + "\n")
    ran["a new row"] = project.run()
    project.write_config(**SETTINGS)
    ran["a setting"] = project.run()
    copy, original = project.archive / COPY, rows_of(data, 5)[4][1]
    shutil.copy(original, copy)
    sheet = project.archive / "slides.tsv"
    sheet.write_text(sheet.read_text().replace(str(original), str(copy)))
    ran["a copied picture"] = project.run()
    return ran


@pytest.fixture(scope="module")
def project(new_project, weeks):
    """The archive after these weeks: six slides, and nothing to do."""
    return new_project


SETTINGS = {"evaluation": {"iou_threshold": 0.7}}
"""What the archive has in its configuration after these weeks."""

COPY = "again.tif"
"""The picture of slide n4 after these weeks."""


def files_of(results: Path) -> dict[str, dict[str, bytes]]:
    """All results that must not depend on what was killed."""
    parts = ("models", "probabilities", "scores", "slides")
    return {part: contents(results / part) for part in parts}


def test_a_first_run_makes_masks_scores_and_a_report(project, first_run):
    ran, _ = first_run
    assert ran["train_fold"] == 1
    assert all(ran[name] == 5 for name in PER_SLIDE)
    assert ran["ingest_labels"] == ran["evaluate_slide"] == 4
    assert ran["separate_labels"] == ran["weigh_borders"] == 3
    results = project.archive / "results"
    scores = json.loads((results / "scores" / "tiny" / "n3.json").read_text())
    assert (scores["slide"], scores["model"]) == ("n3", "tiny")
    page = (results / "report.html").read_text()
    assert "n4" in page and "tiny" in page
    table = (results / "scores.tsv").read_text().splitlines()
    assert len(table) >= 5
    labels = Store.open(results / "slides" / "n4.ome.zarr").label("tiny")
    assert labels.attributes["objects"] == labels.array[:].max()


def test_viewers_find_all_labels_of_a_slide(project):
    labels = project.archive / "results" / "slides" / "n3.ome.zarr" / "labels" / "zarr.json"
    listed = json.loads(labels.read_text())["attributes"]["ome"]["labels"]
    assert listed == ["reference", "tiny"]


def test_a_second_run_does_nothing(weeks):
    assert weeks["nothing"] == {}


def test_a_new_row_runs_that_slide_and_the_report_only(weeks):
    assert weeks["a new row"] == ONE_SLIDE


def test_a_changed_evaluation_setting_runs_evaluation_and_report_only(project, weeks):
    assert weeks["a setting"] == {"evaluate_slide": 4, "write_report": 1, "write_crate": 1}
    scores = project.archive / "results" / "scores" / "tiny" / "n3.json"
    assert json.loads(scores.read_text())["objects"]["iou_threshold"] == 0.7
    assert project.planned() == {}


def test_a_comment_or_docstring_in_the_library_runs_nothing(project):
    def remark(root: Path) -> None:
        for name in ("geometry/spans.py", "stores/writer.py", "networks/unet/layers.py", "cli.py"):
            path = root / "scripts" / "overtile" / name
            text = path.read_text()
            path.write_text(text.replace('"""', '"""Changed. ', 1) + "\n# A remark.\n")

    with edited(project, remark):
        assert project.planned() == {}


def test_a_picture_with_a_new_date_and_the_same_pixels_runs_nothing_but_its_ingest(project, weeks):
    assert weeks["a copied picture"] == ONE_SLIDE  # a new path: Snakemake asks all of its steps
    assert project.planned() == {}


@contextmanager
def edited(project, *edits):
    """The project with some edits of its code, which are then taken back."""
    kept = {part: project.root.parent / f"kept {part}" for part in ("scripts", "workflow")}
    for part, copy in kept.items():
        shutil.copytree(project.root / part, copy, symlinks=True)
    try:
        for edit in edits:
            edit(project.root)
        yield
    finally:
        for part, copy in kept.items():
            shutil.rmtree(project.root / part)
            copy.rename(project.root / part)


def test_an_update_without_effect_makes_the_report_again_and_nothing_else(project):
    with edited(project, *(edit for edits in WITHOUT_EFFECT.values() for edit in edits)):
        planned = project.planned()
    assert planned == {"write_report": 1, "write_crate": 1}


def test_changed_arithmetic_of_a_step_makes_its_results_again_and_trains_nothing(project):
    counts = {"ingest": "ingest_image", "predict": "predict_probabilities"}
    counts |= {"segment": "segment_objects", "evaluate": "evaluate_slide"}
    for step, edit in WITH_EFFECT.values():
        if step in counts:
            with edited(project, edit):
                planned = project.planned()
            assert planned[counts[step]] == (4 if step == "evaluate" else 6)
            assert ("train_fold" in planned) == (step == "ingest")


@pytest.mark.long
def test_pictures_made_again_with_the_same_pixels_train_nothing(project):
    fold = project.archive / "results" / "models" / "tiny" / "fold0"
    before = contents(fold)
    edit = replace(
        "scripts/overtile/ingest/pictures.py", "np.square(part - mean)", "((part - mean) ** 2)"
    )
    with edited(project, edit):
        ran = project.run()
        assert project.planned() == {}
    assert ran["ingest_image"] == 6 and ran["train_fold"] == 1
    assert (
        "3/3 epochs were done already"
        in (project.archive / "logs" / "train_fold" / "tiny" / "0.log").read_text()
    )
    assert contents(fold) == before
    project.run()


def test_changed_code_of_the_network_trains_again_only_where_that_is_wanted(project):
    weights = (
        "scripts/overtile/networks/blocks.py",
        "(2 / incoming) ** 0.5",
        "(1 / incoming) ** 0.5",
    )
    with edited(project, replace(*weights)):
        planned = project.planned()
        project.write_config(**SETTINGS, retrain_on_code_change=True)
        wanted = project.planned()
    project.write_config(**SETTINGS)
    assert "train_fold" not in planned and "plan_training" not in planned
    assert planned["predict_probabilities"] == 6
    assert wanted["train_fold"] == 1 and wanted["predict_probabilities"] == 6
    assert "ingest_image" not in wanted and "weigh_borders" not in wanted
    assert project.planned() == {}


def test_the_order_of_rows_trains_nothing(project):
    sheet = project.archive / "slides.tsv"
    header, *rows = sheet.read_text().splitlines()
    sheet.write_text("\n".join([header, *reversed(rows)]) + "\n")
    assert set(project.planned()) <= {"write_report", "write_crate"}
    project.run()
    sheet.write_text("\n".join([header, *rows]) + "\n")
    project.run()


def test_a_file_that_is_replaced_by_an_older_one_is_read_again(project, data):
    raw = project.archive / COPY
    other = rows_of(data, 6)[5][1]
    assert raw.read_bytes() != Path(other).read_bytes()
    kept = raw.read_bytes()
    shutil.copyfile(other, raw)
    os.utime(raw, (1_000_000_000, 1_000_000_000))
    planned = project.planned()
    assert planned["ingest_image"] == planned["predict_probabilities"] == 1
    assert "train_fold" not in planned
    raw.write_bytes(kept)
    os.utime(raw, (1_000_000_000, 1_000_000_000))
    assert project.planned() == {}


def test_another_border_between_cells_separates_weighs_and_trains_again(project):
    for change, separated in {"separate_px": 3, "w0": 0}.items():
        settings = CONFIG["models"]["tiny"] | {change: 2}
        project.write_config(**SETTINGS, models={"tiny": settings})
        planned = project.planned()
        assert planned.get("separate_labels", 0) == separated
        assert planned["weigh_borders"] == 3 and planned["train_fold"] == 1
        assert "ingest_labels" not in planned
    project.write_config(**SETTINGS)
    assert project.planned() == {}


def test_another_model_beside_the_first_leaves_the_first_alone(project):
    settings = CONFIG["models"]["tiny"]
    project.write_config(**SETTINGS, models={"tiny": settings, "other": settings})
    planned = project.planned()
    assert planned["train_fold"] == 1 and planned["predict_probabilities"] == 6
    assert "ingest_image" not in planned
    project.write_config(**SETTINGS)
    assert project.planned() == {}


def find_step(snakemake: int, script: str) -> psutil.Process | None:
    """The process of a step that Snakemake has started."""
    for child in psutil.Process(snakemake).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "python" in child.name() and any(part.endswith(script) for part in child.cmdline()):
                return child
    return None


def kill_step(project, script: str, ready: Path) -> None:
    """Run the workflow, and kill the step's process as soon as a file is there."""
    process = project.start()
    step = None
    while process.poll() is None and not (step and ready.exists()):
        if not (step and step.is_running()):  # of another slide it may have ended
            step = find_step(process.pid, script)
        time.sleep(0.002)
    assert step and step.is_running(), f"{script} ended before it could be killed"
    step.kill()
    process.wait()
    assert process.returncode != 0


@pytest.fixture
def killed(make_project, data):
    return make_project(CONFIG, rows_of(data, 5), "killed")


@pytest.mark.long
def test_steps_killed_in_the_middle_leave_the_same_bytes_in_the_end(killed, first_run):
    results = killed.archive / "results"
    kill_step(killed, "train.py", results / "models" / "tiny" / "fold0" / "checkpoint.json")
    assert not (results / "models" / "tiny" / "fold0" / "fold.json").exists()
    journal = results / "probabilities" / "tiny" / "n3.ome.zarr" / "journal.jsonl"
    kill_step(killed, "predict.py", journal)
    assert not (journal.parent / "zarr.json").exists()
    killed.run()
    assert files_of(results) == first_run[1]


@pytest.mark.long
def test_a_killed_snakemake_goes_on_after_unlocking(killed, first_run):
    killed.run()
    shutil.rmtree(killed.archive / "results" / "probabilities")
    for labels in (killed.archive / "results" / "slides").glob("*/labels/tiny"):
        shutil.rmtree(labels)
    (killed.archive / "results" / "report.html").unlink()
    process = killed.start()
    while not (killed.archive / "results" / "probabilities").exists():
        assert process.poll() is None
        time.sleep(0.01)
    children = psutil.Process(process.pid).children(recursive=True)
    for dying in (psutil.Process(process.pid), *children):
        dying.kill()
    process.wait()
    assert killed.snakemake("--unlock").returncode == 0
    killed.run()
    assert files_of(killed.archive / "results") == first_run[1]
