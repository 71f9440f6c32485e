"""A result folder says how it was made; the official validator agrees."""

import json
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from overtile.ingest.catalogue import Slide
from overtile.provenance import read_runs
from overtile.reporting.crate import Crate, Result
from overtile.reporting.provenance_graph import newest_inputs, walk_results
from overtile.stores.digest import sealed
from overtile.stores.store import Store
from tests.crate_graph import ids, leads_back, makers, read_graph

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def results(done, archive, packaged, tmp_path_factory) -> Path:
    """A folder with two slides, one of them segmented and scored, as the workflow lays it out."""
    folder = tmp_path_factory.mktemp("crate") / "results"
    for slide in "ab":
        shutil.copytree(archive / f"{slide}.ome.zarr", folder / "slides" / f"{slide}.ome.zarr")
    package = folder / "models" / "unet" / "package"
    done(
        *("package", "--adopt", packaged / "package", "--package", package),
        *("--plan", folder / "models" / "unet" / "plan.yaml"),
        *("--record", folder / "runs/package_model/unet.json"),
    )
    slide = folder / "slides" / "a.ome.zarr"
    probabilities = folder / "probabilities" / "unet" / "a.ome.zarr"
    labels = slide / "labels" / "unet"
    scores = folder / "scores" / "unet" / "a.json"
    done(
        *("predict", "--image", slide, "--model", package, "--device", "cpu"),
        *("--probabilities", probabilities),
    )
    table = folder / "objects" / "unet" / "a.parquet"
    done("segment", "--probabilities", probabilities, "--segmentation", labels, "--objects", table)
    done(
        *("evaluate", "--reference", slide / "labels" / "reference", "--segmentation", labels),
        *("--scores", scores, "--slide", "a", "--model-name", "unet"),
        *("--record", folder / "runs/evaluate_slide/unet/a.json"),
    )
    outlines = folder / "exports" / "unet" / "a.geojson"
    done(
        *("export", "--segmentation", labels, "--geojson", outlines),
        *("--record", folder / "runs/export_outlines/unet/a.json"),
    )
    (folder / "workflow").mkdir()
    (folder / "workflow" / "config.yaml").write_text("models: {unet: {}}\n")
    sheet = folder.parent / "slides.tsv"
    sheet.write_text("slide\timage\tlabels\na\ta.tif\tl.tif\nb\tb.tif\tl.tif\nlater\tc.tif\n")
    done("crate", *flags(folder))
    return folder


def slides(*names: str) -> list[Slide]:
    """Slides of a sheet."""
    return [Slide(name) for name in names]


def flags(folder: Path) -> list[object]:
    """The command line that describes a folder."""
    return [
        *("--results", folder, "--crate", folder / "ro-crate-metadata.json"),
        *("--sheet", folder.parent / "slides.tsv", "--models", "unet"),
        *("--snakefile", ROOT / "Snakefile", "--config", folder / "workflow" / "config.yaml"),
    ]


@pytest.fixture(scope="module")
def graph(results) -> dict[str, dict]:
    """Entities of the crate by their id."""
    return read_graph(results)


def test_the_official_validator_finds_nothing_wrong(results, validate):
    result = validate(results)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 violations" in result.stdout


@pytest.mark.parametrize("what", ["conformsTo", "mainEntity", "license"])
def test_the_official_validator_finds_what_is_missing(results, validate, tmp_path, what):
    folder = shutil.copytree(results, tmp_path / "results")
    crate = json.loads((folder / "ro-crate-metadata.json").read_text())
    (root,) = (entity for entity in crate["@graph"] if entity["@id"] == "./")
    del root[what]
    (folder / "ro-crate-metadata.json").write_text(json.dumps(crate))
    result = validate(folder)
    assert result.returncode == 1 and "REQUIRED" in result.stdout


def test_all_that_is_described_is_there_and_what_is_not_there_yet_is_left_out(results, graph):
    parts = ids(graph["./"]["hasPart"])
    inside = {path for path in parts if not path.startswith("file:")}
    assert all((results / path).exists() for path in inside)
    assert {"slides/a.ome.zarr/", "slides/b.ome.zarr/", "models/unet/package/"} <= inside
    assert not any("later" in path for path in parts)


def test_stores_have_the_digest_of_their_pixels_and_files_that_of_their_bytes(results, graph):
    slide = Store.open(results / "slides" / "a.ome.zarr")
    assert graph["slides/a.ome.zarr/"]["identifier"] == f"sha256:{slide.digest}"
    for path in ("scores/unet/a.json", "objects/unet/a.parquet", "workflow/config.yaml"):
        assert graph[path]["sha256"] == sha256((results / path).read_bytes()).hexdigest()


def test_a_slide_leads_to_its_raw_file_as_it_was(data, graph):
    raw = (data / "em_isbi2012" / "image" / "00.png").resolve()
    assert graph["#run-slides/a.ome.zarr/-0"]["object"] == {"@id": raw.as_uri()}
    assert graph[raw.as_uri()]["sha256"] == sha256(raw.read_bytes()).hexdigest()


def test_a_score_leads_back_to_the_slide_and_the_model_that_was_taken_over(graph, packaged):
    found, made_by = leads_back(graph, "scores/unet/a.json"), makers(graph)
    taken = (packaged / "package" / "plan.yaml").resolve()
    assert {"slides/a.ome.zarr/", "models/unet/package/", taken.as_uri()} <= found
    assert graph[taken.as_uri()]["sha256"] == sha256(taken.read_bytes()).hexdigest()
    assert made_by["models/unet/plan.yaml"] is made_by["models/unet/package/"]
    assert "slides/b.ome.zarr/" not in found


def lose_labels_in_the_sheet(folder):
    return "slide\timage\tlabels\na\ta.tif\t\nb\tb.tif\tl.tif\n"


def change_the_reference(folder):
    for name in ("classes", "0"):
        shutil.rmtree(folder / "slides/a.ome.zarr/labels/reference" / name)
    source, target = (folder / f"slides/{s}.ome.zarr/labels/reference" for s in "ba")
    shutil.copytree(source, target, dirs_exist_ok=True)


def rename_the_slide_in_the_score_file(folder):
    path = folder / "scores/unet/a.json"
    values = json.loads(path.read_text())
    del values["seal"]
    path.write_text(json.dumps(sealed({**values, "slide": "b"})))


@pytest.mark.parametrize(
    "change",
    [lose_labels_in_the_sheet, change_the_reference, rename_the_slide_in_the_score_file],
)
def test_scores_that_do_not_count_are_no_results(done, results, graph, tmp_path, change):
    assert "scores/unet/a.json" in graph
    folder = shutil.copytree(results, tmp_path / "results")
    sheet = change(folder) or (results.parent / "slides.tsv").read_text()
    (tmp_path / "slides.tsv").write_text(sheet)
    done("crate", *flags(folder))
    after = read_graph(folder)
    assert "scores/unet/a.json" not in json.dumps(after)
    assert "slides/a.ome.zarr/labels/unet/" in after


def changed_crate(done, results, tmp_path, change) -> dict[str, dict]:
    """Entities by id of the crate of a copy of the results in which something was changed."""
    folder = shutil.copytree(results, tmp_path / "results")
    change(folder)
    done("crate", *flags(folder), "--sheet", results.parent / "slides.tsv")
    return read_graph(folder)


SEGMENTED = "#run-slides/a.ome.zarr/labels/unet/-0"


def test_what_a_step_wrote_beside_its_result_is_of_its_run_unless_it_was_edited(
    done, results, graph, tmp_path
):
    beside = {"objects/unet/a.parquet": SEGMENTED, "models/unet/plan.yaml": PACKAGED}
    assert all(path in ids(graph[run]["result"]) for path, run in beside.items())

    def edit(folder):
        for path in beside:
            with (folder / path).open("ab") as file:
                file.write(b"# edited")

    edited = changed_crate(done, results, tmp_path, edit)
    for path, run in beside.items():
        assert edited[path]["sha256"] != graph[path]["sha256"]
        assert path not in ids(edited[run]["result"])
        assert path not in ids(edited["#workflow-run"]["result"])


PACKAGED = "#run-models/unet/package/-0"


def test_an_export_is_of_its_run_unless_the_segmentation_is_another_now(
    done, results, graph, tmp_path
):
    path, run = "exports/unet/a.geojson", "#run-exports/unet/a.geojson-0"
    assert graph[run]["result"] == {"@id": path}
    assert graph[run]["object"] == {"@id": "slides/a.ome.zarr/labels/unet/"}

    def segment_again(folder):
        labels = folder / "slides/a.ome.zarr/labels/unet"
        probabilities = folder / "probabilities/unet/a.ome.zarr"
        more = ("--segmentation", labels, "--min-object-px", 1000)
        done("segment", "--probabilities", probabilities, *more)

    after = changed_crate(done, results, tmp_path, segment_again)
    assert path in after and run not in after


def test_a_run_that_was_killed_has_failed_and_all_that_is_wrong_is_that_its_end_is_not_known(
    done, results, validate, tmp_path
):
    def add_killed(folder):
        file = folder / "slides/a.ome.zarr/labels/unet/effort.json"
        (run,) = json.loads(file.read_text())["runs"]
        begun = {name: run[name] for name in run if name not in ("ended", "also")}
        file.write_text(json.dumps({"runs": [begun, run]}))

    graph = changed_crate(done, results, tmp_path, add_killed)
    killed, last = graph[SEGMENTED], graph[SEGMENTED.replace("-0", "-1")]
    assert killed["actionStatus"].endswith("FailedActionStatus") and "endTime" not in killed
    assert killed["result"] == {"@id": "slides/a.ome.zarr/labels/unet/"}
    assert "actionStatus" not in last and len(last["result"]) == 2
    wrong, _ = validate(tmp_path / "results").stdout.splitlines()
    assert wrong.startswith("RECOMMENDED process-run-crate-0.5_8.4") and SEGMENTED in wrong


def test_a_raw_file_saved_anew_has_each_digest_that_a_run_has_read():
    def read(path: str, started: str, digest: str) -> Result:
        run = {"script": "ingest.py", "code": "0", "command": "", "versions": {}}
        run |= {"started": started, "ended": started, "inputs": {"/raw.tif": digest}}
        return Result(path, path, path, [run])

    results = [read("new/", "2026-02", "b"), read("old/", "2026-01", "a"), read("x/", "2025", "a")]
    crate = Crate("Title", "none", newest_inputs(results))
    for made in results:
        crate.add(made)
    graph = {entity["@id"]: entity for entity in crate.to_json()["@graph"]}
    files = {"new/": "file:///raw.tif", "old/": "file:///raw.tif#sha256-a"}
    files["x/"] = files["old/"]
    assert {path: graph[f"#run-{path}-0"]["object"]["@id"] for path in files} == files
    assert [graph[files[path]]["sha256"] for path in ("new/", "old/")] == ["b", "a"]


def test_a_run_says_command_code_versions_and_times(graph):
    run = graph["#run-probabilities/unet/a.ome.zarr/-0"]
    assert "predict.py --image" in run["description"]
    assert "2000" < run["startTime"] < run["endTime"]
    tool = graph[run["instrument"]["@id"]]
    assert len(tool["softwareVersion"]) == 16
    versions = [graph[library] for library in ids(tool["softwareRequirements"])]
    assert {"python", "torch", "numpy", "zarr"} <= {library["name"] for library in versions}
    assert all(library["softwareVersion"] for library in versions)


def test_title_and_licence_may_begin_with_a_dash(done, results, tmp_path):
    crate = tmp_path / "crate.json"
    done("crate", *flags(results), "--crate", crate, "--title=-draft", "--licence=-none")
    (root,) = (one for one in json.loads(crate.read_text())["@graph"] if one["@id"] == "./")
    assert (root["name"], root["license"]) == ("-draft", "-none")


@pytest.mark.parametrize("name", ["slides.tsv", "Snakefile"])
def test_a_link_planted_for_a_copy_is_replaced(done, results, tmp_path, name):
    (tmp_path / "precious").write_text("precious")
    folder = shutil.copytree(results, tmp_path / "results")
    copy = folder / "workflow" / name
    text = copy.read_text()
    copy.unlink()
    copy.symlink_to(tmp_path / "precious")
    shutil.copy(results.parent / "slides.tsv", tmp_path)
    done("crate", *flags(folder))
    assert (tmp_path / "precious").read_text() == "precious"
    assert not copy.is_symlink() and copy.read_text() == text


def test_the_sheet_may_be_the_copy_itself(done, results, tmp_path):
    folder = shutil.copytree(results, tmp_path / "results")
    sheet = folder / "workflow" / "slides.tsv"
    before = sheet.read_text(), (folder / "ro-crate-metadata.json").read_bytes()
    done("crate", *flags(folder), "--sheet", sheet)
    assert (sheet.read_text(), (folder / "ro-crate-metadata.json").read_bytes()) == before


def test_a_configuration_outside_the_results_is_refused_before_anything_is_copied(
    step, results, tmp_path
):
    (tmp_path / "config.yaml").write_text("models: {}\n")
    result = step("crate", *flags(results), "--config", tmp_path / "config.yaml")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert f"{tmp_path / 'config.yaml'}: --config is not in --results {results}" in line
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_a_sheet_needs_no_column_split(done, results, tmp_path):
    sheet, crate = tmp_path / "slides.tsv", tmp_path / "crate.json"
    sheet.write_text("slide\timage\na\ta.tif\n")
    folder = shutil.copytree(results, tmp_path / "results")
    done("crate", *flags(folder), "--sheet", sheet, "--crate", crate)
    assert "slides/a.ome.zarr/" in crate.read_text()


@pytest.fixture
def trained(done, planned, packaged, tmp_path) -> Path:
    """A result folder with a model of one fold that learnt a, b and c, and what is left over."""
    folder = tmp_path / "results"
    model = folder / "models" / "unet"
    model.mkdir(parents=True)
    shutil.copy(planned / "plan.yaml", model)
    done(
        *("package", "--plan", model / "plan.yaml", "--folds", packaged / "fold0"),
        *("--package", model / "package", "--record", folder / "runs/package_model/unet.json"),
    )
    for fold in ("fold0", "fold1"):
        shutil.copytree(packaged / "fold0", model / fold)
    for slide, source in {"a": "a", "b": "b", "c": "c", "old": "a"}.items():
        weights = folder / "weights" / "unet" / f"{slide}.zarr"
        shutil.copytree(planned / f"{source}.zarr", weights)
    return folder


def test_folds_and_slides_that_plan_or_sheet_no_longer_have_are_left_out(trained):
    made = {m.path: m for m in walk_results(trained, slides("c", "a", "old"), ["unet"], read_runs)}
    maps = ["weights/unet/c.zarr/", "weights/unet/a.zarr/"]
    fold = "models/unet/fold0/"
    assert list(made) == ["models/unet/plan.yaml", *maps, fold, "models/unet/package/"]
    pictures = ["slides/c.ome.zarr/", "slides/a.ome.zarr/"]
    assert list(made["models/unet/plan.yaml"].parts) == pictures
    assert list(made[fold].parts) == ["models/unet/plan.yaml", *pictures, *maps]
    assert list(made["models/unet/package/"].parts) == ["models/unet/plan.yaml", fold]


def test_a_model_leads_to_the_labels_that_it_learnt_and_to_no_others(trained, archive, planned):
    for slide in "abc":
        shutil.copytree(archive / f"{slide}.ome.zarr", trained / "slides" / f"{slide}.ome.zarr")
    wider = trained / "targets" / "2d_3px" / "a.ome.zarr"
    shutil.copytree(archive / "b.ome.zarr" / "labels" / "reference", wider)
    learnt = trained / "targets" / "2d_1px" / "b.ome.zarr"
    shutil.move(trained / "slides/b.ome.zarr/labels/reference", learnt)
    made = {m.path: m for m in walk_results(trained, slides("a", "b"), ["unet"], read_runs)}
    labels = {"a": "slides/a.ome.zarr/labels/reference/", "b": "targets/2d_1px/b.ome.zarr/"}
    for slide, target in labels.items():
        assert made[f"weights/unet/{slide}.zarr/"].parts == ["models/unet/plan.yaml", target]
    for path in ("models/unet/plan.yaml", "models/unet/fold0/"):
        found = {part for part in made[path].parts if "labels" in part or "targets" in part}
        assert found == set(labels.values())


def test_a_record_in_a_file_of_its_own_speaks_for_one_content_only(trained):
    def runs_of_package():
        made = {m.path: m for m in walk_results(trained, slides("a"), ["unet"], read_runs)}
        return made["models/unet/package/"].runs

    (run,) = runs_of_package()
    assert run["script"] == "package.py"
    with (trained / "models/unet/package/plan.yaml").open("a") as file:
        file.write("# edited\n")
    assert runs_of_package() == []


def test_describing_again_gives_the_same_bytes(done_cold, results):
    before = (results / "ro-crate-metadata.json").read_bytes()
    done_cold("crate", *flags(results))
    assert (results / "ro-crate-metadata.json").read_bytes() == before
