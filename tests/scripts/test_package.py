"""Package: a model for reuse with its card, and refusals."""

import shutil

from overtile.inference.package import read_package
from overtile.stores.digest import digest_file


def test_a_model_card_names_classes_slides_and_scores(packaged):
    card = (packaged / "package" / "README.md").read_text()
    assert "membrane, cell" in card and "a, b, c" in card and "| 0 |" in card


def test_a_package_holds_the_best_weights_of_its_folds_and_no_code(packaged):
    package = packaged / "package"
    names = {file.name for file in package.iterdir()}
    assert names == {"plan.yaml", "README.md", "fold0.safetensors"}
    (member,) = read_package(package)["members"]
    assert member["sha256"] == digest_file(packaged / "fold0" / "best.safetensors")


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
