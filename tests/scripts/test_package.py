"""Package: a model for reuse with its card, and refusals."""

import json
import shutil

from overtile.inference.package import read_package
from overtile.planning.reading import read_plan
from overtile.stores.digest import digest_file


def test_a_model_card_names_classes_slides_and_scores(packaged):
    card = (packaged / "package" / "README.md").read_text()
    assert "membrane, cell" in card and "a, b, c" in card and "| 0 |" in card


def test_a_package_holds_the_best_weights_of_its_folds_and_no_code(packaged):
    package = packaged / "package"
    names = {file.name for file in package.iterdir()}
    assert names == {"plan.yaml", "README.md", "fold0.safetensors"}
    (member,) = read_package(package).members
    assert member.sha256 == digest_file(packaged / "fold0" / "best.safetensors")


def test_weights_that_changed_after_training_are_refused(step, packaged, planned, tmp_path):
    fold, package = tmp_path / "fold0", tmp_path / "package"
    shutil.copytree(packaged / "fold0", fold)
    weights = fold / "best.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    plan = planned / "plan.yaml"
    result = step("package", "--plan", plan, "--folds", fold, "--package", package)
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert "best.safetensors: changed since training; train again" in result.stderr
    assert not (package / "plan.yaml").exists()


def test_a_package_taken_over_is_the_same_and_comes_with_its_plan(done, packaged, tmp_path):
    source, package, plan = packaged / "package", tmp_path / "package", tmp_path / "plan.yaml"
    record = ("--record", tmp_path / "run.json")
    done("package", "--adopt", source / "plan.yaml", "--package", package, "--plan", plan, *record)
    assert read_package(package).plan == read_package(source).plan
    for name in ("plan.yaml", "README.md", "fold0.safetensors"):
        assert digest_file(package / name) == digest_file(source / name)
    assert read_plan(plan) == read_package(package).plan
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["inputs"] == {str(source / "plan.yaml"): digest_file(source / "plan.yaml")}


def test_a_changed_package_is_not_taken_over(step, packaged, tmp_path):
    source = shutil.copytree(packaged / "package", tmp_path / "source")
    (source / "fold0.safetensors").write_bytes(b"other")
    flags = ("--package", tmp_path / "package", "--plan", tmp_path / "plan.yaml")
    result = step("package", "--adopt", source, *flags)
    assert result.returncode == 1
    assert "fold0.safetensors: missing or changed" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_package_of_other_classes_is_not_taken_over(step, done, packaged, tmp_path):
    source, target = packaged / "package", tmp_path / "package"
    flags = ("--adopt", source, "--package", target, "--plan", tmp_path / "plan.yaml")
    result = step("package", *flags, "--classes", "membrane", "nucleus")
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
    assert "tells apart membrane, cell; wanted: membrane, nucleus; " in result.stderr
    assert not target.exists()
    done("package", *flags, "--classes", "cell", "membrane")
    assert read_package(target).plan.classes == ("membrane", "cell")


def test_a_package_is_not_taken_over_to_itself(step, packaged, tmp_path):
    source = shutil.copytree(packaged / "package", tmp_path / "source")
    result = step("package", "--adopt", source, "--package", source, "--plan", tmp_path / "p.yaml")
    assert result.returncode == 1 and "name two" in result.stderr
    assert read_package(source).plan == read_package(packaged / "package").plan
