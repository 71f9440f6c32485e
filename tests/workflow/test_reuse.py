"""The workflow as a part of others: a consumer's, a month of an archive, a deployment by tag.

Those with pictures run for true, on real nuclei, from folders that hold no file of the project.
"""

import re
import shutil
import subprocess
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest
import yaml

from overtile.packages.package import read_package
from overtile.stores.store import Store
from tests.crate_graph import ids, leads_back, read_graph
from tests.workflow.conftest import PARTS, PYTHON, copy_project, environment

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

DEPLOYED = """
configfile: "config/config.yaml"

module overtile:
    snakefile:
        github("somebody/overtile", path="workflow/Snakefile", tag="v1")
    config:
        config

use rule * from overtile
"""
"""What snakedeploy 0.17 writes as workflow/Snakefile."""


def snakemake(folder: Path, *flags: str, **more: str) -> Counter:
    """Run Snakemake in a folder; return how often each rule ran."""
    command = ("-m", "snakemake", *flags, "--cores", "2", "--resources", "gpu=1")
    result = PYTHON.run(command, cwd=folder, env=environment() | more)
    assert result.returncode == 0, result.stdout + result.stderr
    text = result.stdout + result.stderr
    return Counter(re.findall(r"^ *(?:local)?rule (\w+):", text, re.M))  # groups are indented


def write_sheet(path: Path, data: Path, **splits: str) -> None:
    """A sheet of real nuclei, one slide per keyword with its split; the unlabelled come later."""
    folder = data / "nuclei_dsb2018" / "fluo"
    small = [path.name for path in sorted((folder / "image").iterdir()) if path.stem[0] == "0"]
    lines = ["slide\timage\tlabels\tsplit"]
    for (slide, split), name in zip(splits.items(), small, strict=False):
        labels = folder / "label" / name if split else ""
        lines.append(f"{slide}\t{folder / 'image' / name}\t{labels}\t{split}")
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """What a clone of the project holds."""
    folder = tmp_path_factory.mktemp("clone") / "overtile"
    folder.mkdir()
    return copy_project(folder, (*PARTS, "LICENSE", "README.md", ".snakemake-workflow-catalog.yml"))


def copied(name: str, folder: Path, clone: Path) -> Path:
    """A workflow of this folder elsewhere, with the project named by its whole path."""
    folder = shutil.copytree(HERE / name, folder / name)
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("../../../Snakefile", str(clone / "Snakefile")))
    return folder


@pytest.fixture(scope="module")
def consumer_run(clone, data, tmp_path_factory) -> tuple[Path, Counter]:
    """A consumer's folder after its first run, and what that ran."""
    folder = copied("consumer", tmp_path_factory.mktemp("elsewhere"), clone)
    write_sheet(folder / "slides.tsv", data, one="train", two="")
    return folder, snakemake(folder)


@pytest.fixture(scope="module")
def consumer(consumer_run) -> Path:
    return consumer_run[0]


@pytest.fixture(scope="module")
def months_runs(clone, data, tmp_path_factory) -> tuple[Path, list[Counter]]:
    """An archive after January, and after February in two batches; what each of these runs ran."""
    folder = copied("months", tmp_path_factory.mktemp("archive"), clone)
    write_sheet(folder / "model.tsv", data, labelled="train")
    write_sheet(folder / "january.tsv", data, jan1="", jan2="")
    write_sheet(folder / "february.tsv", data, feb1="", feb2="", feb3="")
    batches = [("--batch", f"february_write_report={number}/2") for number in (1, 2)]
    runs = [("january_all",), *(("february_all", *batch) for batch in batches)]
    return folder, [snakemake(folder, *flags) for flags in runs]


@pytest.fixture(scope="module")
def months(months_runs) -> Path:
    return months_runs[0]


def test_another_workflow_finds_cells_with_overtile_and_counts_them(consumer_run):
    consumer, ran = consumer_run
    assert ran["overtile_train_fold"] == 1 and ran["overtile_segment_objects"] == 2
    rows = [line.split("\t") for line in (consumer / "counts.tsv").read_text().splitlines()]
    for row in rows[1:]:
        found = Store.open(consumer / f"cells/results/slides/{row[0]}.ome.zarr").label("tiny")
        assert int(row[rows[0].index("objects")]) == found.attributes["objects"]
    assert [row[0] for row in rows[1:]] == ["one", "two"]


def test_a_module_writes_below_its_prefix_only(consumer):
    own = {"Snakefile", "config.yaml", "slides.tsv", ".snakemake", "logs", "counts.tsv"}
    assert {path.name for path in consumer.iterdir()} == own | {"cells"}
    assert [path.name for path in (consumer / "logs").iterdir()] == ["count_cells.log"]


def test_a_consumers_second_run_does_nothing(consumer):
    assert snakemake(consumer) == {}


@pytest.fixture(scope="module")
def graph(consumer) -> dict[str, dict]:
    """Entities of a module's crate by their id."""
    return read_graph(consumer / "cells" / "results")


def test_the_official_validator_finds_nothing_wrong_with_the_crate(consumer, validate):
    result = validate(consumer / "cells" / "results")
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_segmentation_leads_back_to_the_raw_labels_of_a_training_slide(consumer, graph):
    found = leads_back(graph, "slides/two.ome.zarr/labels/tiny/")
    header, row = (line.split("\t") for line in (consumer / "slides.tsv").open().readlines()[:2])
    raw = Path(row[header.index("labels")]).resolve()
    assert graph[raw.as_uri()]["sha256"] == sha256(raw.read_bytes()).hexdigest()
    steps = {"slides/one.ome.zarr/labels/reference/", "targets/2d_1px/one.ome.zarr/"}
    assert {raw.as_uri(), *steps, "weights/tiny/one.zarr/", "models/tiny/fold0/"} <= found


def test_the_report_is_made_from_what_it_reads(consumer, graph):
    read = ids(graph["#run-report.html-0"]["object"])
    model = {f"models/tiny/{name}" for name in ("plan.yaml", "fold0/")}
    shown = {"weights/tiny/one.zarr/", "targets/2d_1px/one.ome.zarr/", "scores/tiny/one.json"}
    labels = {f"slides/{slide}.ome.zarr/labels/tiny/" for slide in ("one", "two")}
    pictures = {f"slides/{slide}.ome.zarr/" for slide in ("one", "two")}
    sheet = (consumer / "slides.tsv").resolve().as_uri()
    reference = "slides/one.ome.zarr/labels/reference/"
    assert read == model | shown | labels | pictures | {sheet, reference}


def test_the_crate_of_a_module_tells_of_this_module(consumer, graph):
    results = consumer / "cells" / "results"
    assert graph["./"]["name"] == "Cells of another workflow"
    made = yaml.safe_load((results / "workflow" / "config.yaml").read_text())
    assert list(made["models"]) == ["tiny"]
    inside = [one["@id"] for one in graph["./"]["hasPart"] if ":" not in one["@id"]]
    assert all((results / path).exists() for path in inside)
    steps = {tool.split("-")[0].lstrip("#") for tool in graph if ".py-" in tool}
    tried = {"ingest", "separate", "plan", "weigh", "train", "package", "predict", "segment"}
    assert steps == {f"{name}.py" for name in tried | {"evaluate", "report"}}


@pytest.mark.long
def test_one_month_runs_with_the_shared_model_and_without_the_others(months_runs):
    _, (ran, *_) = months_runs
    assert ran["model_train_fold"] == ran["january_adopt_package"] == 1
    assert ran["january_predict_probabilities"] == ran["january_segment_objects"] == 2
    assert not any("february" in rule or rule.endswith("january_train_fold") for rule in ran)
    assert "model_write_report" not in ran


@pytest.mark.long
def test_a_month_in_batches_is_done_after_the_last_one(months_runs):
    months, (_, first, last) = months_runs
    assert first == {"february_adopt_package": 1} | dict.fromkeys(PER_SLIDE, 1)
    assert {rule: last[rule] for rule in PER_SLIDE} == dict.fromkeys(PER_SLIDE, 2)
    assert last["february_write_report"] == last["february_write_crate"] == 1
    assert snakemake(months) == {}
    page = (months / "february" / "results" / "report.html").read_text()
    assert all(slide in page for slide in ("feb1", "feb2", "feb3"))


PER_SLIDE = tuple(
    f"february_{rule}" for rule in ("ingest_image", "predict_probabilities", "segment_objects")
)


@pytest.mark.long
def test_all_months_have_the_same_model(months):
    model = read_package(months / "model" / "results" / "models" / "tiny" / "package")
    for month in ("january", "february"):
        adopted = read_package(months / month / "results" / "models" / "tiny" / "package")
        assert (adopted.plan, adopted.members) == (model.plan, model.members)
        masks = (months / month / "results" / "slides").glob("*/labels/tiny/zarr.json")
        assert len(list(masks)) == {"january": 2, "february": 3}[month]


@pytest.mark.long
def test_a_new_slide_concerns_its_month_only(months, data):
    write_sheet(months / "january.tsv", data, jan1="", jan2="", jan3="")
    planned = snakemake(months, "--dry-run")
    write_sheet(months / "january.tsv", data, jan1="", jan2="")
    assert planned.pop("all", 1) == planned.pop("january_all", 1) == 1
    steps = ("ingest_image", "predict_probabilities", "segment_objects")
    expected = [*steps, "write_report", "write_crate"]
    assert planned == dict.fromkeys((f"january_{rule}" for rule in expected), 1)


@pytest.mark.long
def test_a_model_trained_anew_is_taken_over_by_all_months(months):
    config = yaml.safe_load((months / "config.yaml").read_text())
    config["model"]["models"]["tiny"]["seed"] = 1
    other = months / "other.yaml"
    other.write_text(yaml.safe_dump(config))
    planned = snakemake(months, "--dry-run", "--configfile", str(other))
    assert planned["model_train_fold"] == 1
    assert planned["january_adopt_package"] == planned["february_adopt_package"] == 1
    assert planned["february_predict_probabilities"] == 3


@pytest.fixture(scope="module")
def published(clone, tmp_path_factory) -> dict[str, str]:
    """The clone as a tagged repository; variables that make git find it in place of a host."""
    folder = tmp_path_factory.mktemp("published")
    ignore = shutil.ignore_patterns("__pycache__")
    source = shutil.copytree(clone, folder / "overtile", ignore=ignore)
    git = ["git", "-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"]
    for words in ("init --quiet", "add .", "commit --quiet --message=All", "tag v1"):
        subprocess.run([*git, *words.split()], cwd=source, check=True)
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{source}.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/somebody/overtile",
        "XDG_CACHE_HOME": str(folder / "cache"),
    }


def test_a_deployment_by_tag_has_all_of_the_workflow_and_its_scripts(clone, published, tmp_path):
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow" / "Snakefile").write_text(DEPLOYED)
    shutil.copytree(clone / "config", tmp_path / "config")
    planned = snakemake(tmp_path, "--dry-run", **published)
    assert planned["train_fold"] == 1 and planned["write_crate"] == planned["everything"] == 1
    slide = "resources/demo/slide1.ome.tif"
    assert snakemake(tmp_path, slide, **published) == {"make_demo_slide": 1}
    assert (tmp_path / slide).exists()


def test_local_rules_say_so_themselves(clone):
    """Names in `localrules:` have no prefix: as a module's, these rules would be submitted."""
    rules = "".join(path.read_text() for path in (clone / "workflow" / "rules").glob("*.smk"))
    assert rules.count("localrule: True") == 2 and "localrules" not in rules


def test_what_the_workflow_catalogue_asks_for_is_there(clone):
    usage = yaml.safe_load((clone / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["software-stack-deployment"]["conda"] is True and usage["report"] is True
    assert set(usage["mandatory-flags"]) == {"desc", "flags"}
    asked = ("workflow/Snakefile", "config/README.md", "config/config.yaml", "README.md", "LICENSE")
    assert all((clone / path).is_file() for path in asked)
