"""Steps run by hand say how their results were made, without changing these results."""

import json
import shutil
import sys
from hashlib import sha256
from importlib.metadata import packages_distributions
from pathlib import Path

from overtile.code_digest import code_digest
from overtile.provenance import PACKAGES, read_runs, versions
from tests.imports import imports

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def ingest(done, data, store, number="00"):
    image = data / "em_isbi2012" / "image" / f"{number}.png"
    done("ingest", "--image", image, "--store", store)
    return image


def test_a_store_made_by_hand_has_command_code_versions_and_times(done, data, tmp_path):
    store = tmp_path / "it's.ome.zarr"
    ingest(done, data, store)
    (run,) = read_runs(store)
    assert run["command"].startswith("python ") and "ingest.py --image" in run["command"]
    assert run["command"].endswith("'" + str(store).replace("'", "'\"'\"'") + "'")
    script = __file__.replace("tests/scripts/test_provenance.py", "scripts/ingest.py")
    assert run["code"] == code_digest(script)
    assert {"python", "numpy", "zarr"} <= set(run["versions"])
    assert run["started"] < run["ended"]


def test_the_same_content_has_the_same_root_whenever_and_wherever_it_was_made(done, data, tmp_path):
    for name in ("one", "two"):
        ingest(done, data, tmp_path / name / "s.ome.zarr")
    roots = [(tmp_path / name / "s.ome.zarr/zarr.json").read_bytes() for name in ("one", "two")]
    assert roots[0] == roots[1]


def test_a_run_that_finds_all_done_comes_after_the_run_that_computed(done, data, tmp_path):
    store = tmp_path / "s.ome.zarr"
    for _ in range(2):
        ingest(done, data, store)
    first, second = read_runs(store)
    assert first["ended"] < second["started"]


def test_a_mask_is_an_input_of_its_prediction(done, archive, packaged, data, tmp_path):
    image = ("--image", archive / "a.ome.zarr", "--model", packaged / "package", "--device", "cpu")
    file = data / "em_isbi2012" / "label" / "00.png"
    labels = archive / "a.ome.zarr" / "labels" / "reference"
    for mask, read in {file: file, labels: labels / "zarr.json"}.items():
        done("predict", *image, "--mask", mask, "--probabilities", tmp_path / "p.ome.zarr")
        (run,) = read_runs(tmp_path / "p.ome.zarr")
        assert run["inputs"] == {str(read.resolve()): sha256(read.read_bytes()).hexdigest()}


def test_versions_are_those_of_all_libraries_that_steps_import_but_for_some():
    modules = {name.split(".")[0] for file in SCRIPTS.rglob("*.py") for name in imports(file)}
    strange = modules - set(sys.stdlib_module_names) - {"overtile", *NO_PART}
    packages = packages_distributions()
    assert {packages[module][0].lower() for module in strange} <= set(PACKAGES)
    assert set(PACKAGES) <= set(versions()) and "snakemake" not in versions()


NO_PART = {
    *("matplotlib", "jinja2", "markupsafe", "rocrate", "yaml", "ome_zarr_models"),
    *("distributed", "dask_jobqueue", "tornado", "tqdm", "pynvml"),
}
"""Modules that draw, write text or distribute work: no pixel and no number comes from them."""


def test_runs_that_led_to_other_content_are_forgotten(done, data, tmp_path):
    store = tmp_path / "s.ome.zarr"
    ingest(done, data, store, "00")
    ingest(done, data, store, "05")
    (run,) = read_runs(store)
    assert "05.png" in run["command"]
    assert json.loads((store / "effort.json").read_text())["runs"] == [run]


def test_a_record_does_not_speak_for_content_that_it_did_not_lead_to(done, data, tmp_path):
    store = tmp_path / "s.ome.zarr"
    ingest(done, data, store)
    root = store / "zarr.json"
    root.write_text(root.read_text() + "\n")
    assert read_runs(store) == []


def test_a_step_that_fails_leaves_no_record(step, data, tmp_path):
    result = step("ingest", "--image", tmp_path / "no.tif", "--store", tmp_path / "s.ome.zarr")
    assert result.returncode == 1
    assert read_runs(tmp_path / "s.ome.zarr") == []


def test_a_store_that_is_not_finished_has_no_runs(done, data, tmp_path):
    store = tmp_path / "s.ome.zarr"
    ingest(done, data, store)
    (store / "zarr.json").unlink()
    assert read_runs(store) == []


def test_a_file_gets_a_record_only_where_one_is_asked_for(done, archive, tmp_path):
    reference = archive / "a.ome.zarr" / "labels" / "reference"
    flags = ("--reference", reference, "--segmentation", reference)
    done("evaluate", *flags, "--scores", tmp_path / "s.json")
    assert [path.name for path in tmp_path.iterdir()] == ["s.json"]
    done("evaluate", *flags, "--scores", tmp_path / "s.json", "--record", tmp_path / "run.json")
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["script"] == "evaluate.py"
    assert run["content"] == sha256((tmp_path / "s.json").read_bytes()).hexdigest()


def test_a_trained_fold_keeps_its_seconds_beside_its_runs(packaged, train_command, done, tmp_path):
    fold = shutil.copytree(packaged / "fold0", tmp_path / "fold0")
    effort = json.loads((fold / "effort.json").read_text())
    assert effort["seconds"] > 0 and len(effort["runs"]) == 1
    assert effort["runs"][0]["device"] == "cpu"
    done("train", *train_command(fold))
    again = json.loads((fold / "effort.json").read_text())
    assert again["seconds"] == effort["seconds"] and len(again["runs"]) == 2
