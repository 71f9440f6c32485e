"""Package: a model for reuse with its card, and refusals."""

import json
import shutil
from pathlib import Path

import pytest

from overtile.packages.package import read_package
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


@pytest.fixture
def fold(packaged, tmp_path):
    """A copy of a finished fold."""
    return Path(shutil.copytree(packaged / "fold0", tmp_path / "fold0"))


@pytest.mark.parametrize("change", ["one byte", "lost"])
def test_weights_that_changed_after_training_are_written_again_from_the_checkpoint(
    done, packaged, planned, fold, tmp_path, change
):
    weights, package = fold / "best.safetensors", tmp_path / "package"
    if change == "lost":
        weights.unlink()
    else:
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    plan = planned / "plan.yaml"
    result = done("package", "--plan", plan, "--folds", fold, "--package", package)
    assert result.stderr == f"{weights}: was lost or damaged; written again\n"
    for name in ("plan.yaml", "README.md", "fold0.safetensors"):
        assert (package / name).read_bytes() == (packaged / "package" / name).read_bytes()


def test_without_a_copy_they_are_refused_and_what_is_said_to_do_helps(
    step, done, packaged, planned, train_command, fold, tmp_path
):
    weights, package = fold / "best.safetensors", tmp_path / "package"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    for path in fold.glob("checkpoint*"):
        path.unlink()
    command = ("--plan", planned / "plan.yaml", "--folds", fold, "--package", package)
    result = step("package", *command)
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert f"delete {fold / 'fold.json'} and run scripts/train.py again" in result.stderr
    assert not (package / "plan.yaml").exists()
    (fold / "fold.json").unlink()
    assert "trained again" in done("train", *train_command(fold)).stderr
    done("package", *command)
    (member,) = read_package(package).members
    assert member.sha256 == digest_file(packaged / "fold0" / "best.safetensors")


def test_a_plan_that_changed_after_training_is_refused(step, planned, fold, tmp_path):
    plan, package = tmp_path / "plan.yaml", tmp_path / "package"
    plan.write_text((planned / "plan.yaml").read_text().replace("seed: 0", "seed: 1"))
    result = step("package", "--plan", plan, "--folds", fold, "--package", package)
    assert result.returncode == 1
    assert "is not the plan that" in result.stderr and result.stderr.count("\n") == 1
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
    assert "has classes membrane, cell; wanted: membrane, nucleus; " in result.stderr
    assert not target.exists()
    done("package", *flags, "--classes", "cell", "membrane")
    assert read_package(target).plan.classes == ("membrane", "cell")


def test_a_package_is_not_taken_over_to_itself(step, packaged, tmp_path):
    source = shutil.copytree(packaged / "package", tmp_path / "source")
    result = step("package", "--adopt", source, "--package", source, "--plan", tmp_path / "p.yaml")
    assert result.returncode == 1 and "--package is also --adopt" in result.stderr
    assert read_package(source).plan == read_package(packaged / "package").plan
