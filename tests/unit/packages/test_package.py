"""Packages: whole, checked, and read without executing anything."""

import json
import re
import shutil
import time
from dataclasses import replace

import pytest
import torch

from overtile.errors import InputError
from overtile.networks.unet.family import UNET, Architecture, choose_levels
from overtile.networks.unet.layers import UNet
from overtile.networks.weights import load_network, save_weights
from overtile.packages.package import read_package
from overtile.packages.writing import copy_package, write_package
from overtile.settings.checks import read_record, to_plain
from overtile.stores.digest import digest_file
from overtile.stores.yaml_files import read_yaml, write_yaml
from tests.plans import SMALL, known_slide, small_plan

PLAN = small_plan(slides=(known_slide("<b>one</b>"),))


@pytest.fixture
def fold(tmp_path):
    folder = tmp_path / "fold0"
    folder.mkdir()
    save_weights(folder / "best.safetensors", UNet(SMALL))
    digest = digest_file(folder / "best.safetensors")
    done = {"fold": 0, "best_sha256": digest, "best": {"epoch": 1}}
    (folder / "fold.json").write_text(json.dumps(done))
    return folder


def test_weights_come_back_as_they_were(fold):
    one = UNet(SMALL)
    save_weights(fold / "w.safetensors", one)
    other = load_network(fold / "w.safetensors", UNET, SMALL)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_weights_of_another_network_are_refused(fold):
    wider = Architecture(2, 1, 2, 4, *choose_levels(2, 1, (1.0, 1.0, 1.0)))
    with pytest.raises(InputError, match="does not fit the network"):
        load_network(fold / "best.safetensors", UNET, wider)


def test_a_pickle_in_place_of_weights_is_refused_and_not_executed(fold):
    torch.save({"x": torch.zeros(1)}, fold / "best.safetensors")
    with pytest.raises(InputError, match="does not fit the network"):
        load_network(fold / "best.safetensors", UNET, SMALL)


def test_a_package_names_its_weights_by_digest(fold, tmp_path):
    write_package(PLAN, [fold], tmp_path / "package")
    package = read_package(tmp_path / "package" / "plan.yaml")
    (member,) = package.members
    assert member.sha256 == digest_file(tmp_path / "package" / member.file)
    assert package.plan == PLAN


def test_weights_changed_after_training_are_not_packaged(fold, tmp_path):
    save_weights(fold / "best.safetensors", UNet(SMALL))
    with pytest.raises(InputError, match="changed since training"):
        write_package(PLAN, [fold], tmp_path / "package")
    assert not (tmp_path / "package" / "plan.yaml").exists()


def test_a_training_plan_is_no_package(tmp_path):
    (tmp_path / "plan.yaml").write_text("classes: [a, b]\n")
    with pytest.raises(InputError, match="no packaged model"):
        read_package(tmp_path)


def test_a_member_outside_the_package_is_not_read(fold, tmp_path):
    write_package(PLAN, [fold], tmp_path / "package")
    path = tmp_path / "package" / "plan.yaml"
    path.write_text(path.read_text().replace("fold0.safetensors", "../fold0/best.safetensors"))
    with pytest.raises(InputError, match="best.safetensors'; allowed: names .* without folders"):
        read_package(tmp_path / "package")


@pytest.fixture
def package(fold, tmp_path):
    write_package(PLAN, [fold], tmp_path / "package")
    return tmp_path / "package"


def change(package, **values):
    """Change keys of a package's plan."""
    write_yaml(package / "plan.yaml", {**read_yaml(package / "plan.yaml"), **values})


def refusal(package) -> str:
    """What is said of a package: one line that begins with its plan, at once."""
    began = time.monotonic()
    with pytest.raises(InputError) as error:
        read_package(package)
    assert time.monotonic() - began < 1
    message = str(error.value)
    assert message.startswith(str(package / "plan.yaml")) and "\n" not in message
    return message


def test_a_package_written_before_plans_held_decisions_only_is_read(package):
    change(package, tile_input_px=list(PLAN.tile_input_px))
    assert read_package(package).plan == PLAN


DIGEST = "0" * 64


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("classes", ["a", "b", "c"], "has 3 classes, but its network has 2 outputs"),
        ("tile_input_px", [450, 450], "follows from the network"),
        ("members", [], "members is empty; package the model again"),
        ("members", None, "members is None, not a list"),
        ("members", {"file": "a"}, "members is {'file': 'a'}, not a list"),
        ("members", ["a.safetensors"], "members 0: is 'a.safetensors'; allowed: keys"),
        ("members", [{"file": "a.safetensors"}], "members 0: key 'sha256' is missing"),
        ("members", [{"file": 3, "sha256": DIGEST}], "members 0: file is 3, not str"),
        ("members", [{"file": "a.safetensors", "sha256": "0" * 63}], "sha256 is '000.*64 hex"),
        ("members", [{"file": "a.safetensors", "sha256": "g" * 64}], "sha256 is 'ggg.*64 hex"),
        ("members", [{"file": "README.md", "sha256": DIGEST}], "allowed: names that end in"),
        ("members", [{"file": "../a.safetensors", "sha256": DIGEST}], "without folders"),
        ("members", [{"file": "/a.safetensors", "sha256": DIGEST}], "without folders"),
        ("members", [{"file": "b\\\\a.safetensors", "sha256": DIGEST}], "without folders"),
        ("members", [{"file": "a.safetensors", "sha256": DIGEST}] * 2, "'a.safetensors' 2 times"),
        ("architecture", {"width": 2000}, "width is 2000; allowed: 1 to 1024"),
        ("architecture", {"pools": [[2, 2]] * 100}, "depth is 100; allowed: 1 to 7"),
        ("architecture", {"width": 1024, "pools": [[2, 2]] * 6}, "7,.*parameters .*lower width"),
    ],
)
def test_a_strange_package_is_one_line_before_anything_is_built(package, key, value, words):
    if key == "architecture":
        value = to_plain(SMALL) | value
        value["kernels"] = [[3, 3]] * (len(value["pools"]) + 1)
    change(package, **{key: value})
    if "parameters" in words:
        words = "the network has [0-9,]+ parameters .*lower width"
        a = read_record(Architecture, value, "a")
        change(package, tile_output_px=list(a.geometry.sizes_for((1, 1))[1]))
    refused = refusal(package)
    assert re.search(words, refused), refused


def test_weights_of_another_size_are_refused_before_a_large_network_is_built(fold):
    large = Architecture(2, 1, 2, 64, *choose_levels(2, 7, (1.0, 1.0, 1.0)))
    assert UNET.parameters(large) > 1e9
    began = time.monotonic()
    with pytest.raises(InputError, match=r"down\.0\.0\.weight is \(2, 1, 3, 3\), expected \(64, 1"):
        load_network(fold / "best.safetensors", UNET, large)
    assert time.monotonic() - began < 5


def test_weights_with_a_tensor_too_many_or_too_few_are_refused(fold):
    normed = replace(SMALL, norm="batch")
    save_weights(fold / "normed.safetensors", UNet(normed))
    with pytest.raises(InputError, match=r"\(down\.0\.0\.bias is none, expected \(2,\)\)"):
        load_network(fold / "normed.safetensors", UNET, SMALL)
    with pytest.raises(InputError, match=r"is none, expected|is \(.*\), expected none"):
        load_network(fold / "best.safetensors", UNET, normed)


def test_a_copied_package_is_the_same_bytes_and_its_plan_has_no_members(package, tmp_path):
    change(package, tile_input_px=list(PLAN.tile_input_px))
    copy_package(package, tmp_path / "copy", tmp_path / "plan.yaml")
    for file in package.iterdir():
        assert digest_file(tmp_path / "copy" / file.name) == digest_file(file)
    assert read_yaml(tmp_path / "plan.yaml") == PLAN.written()


def test_a_copy_that_is_not_what_was_checked_is_no_package(package, tmp_path, monkeypatch):
    def copy_short(source, target):
        target.write_bytes(source.read_bytes()[:-1])

    monkeypatch.setattr(shutil, "copyfile", copy_short)
    with pytest.raises(InputError, match=r"fold0\.safetensors: changed since"):
        copy_package(package, tmp_path / "copy", tmp_path / "plan.yaml")
    assert not (tmp_path / "copy" / "plan.yaml").exists()


def test_classes_of_a_copied_package_are_compared_by_name(package, tmp_path):
    target, plan = tmp_path / "copy", tmp_path / "plan.yaml"
    copy_package(package, target, plan, ["background", "cell"])
    copy_package(package, target, plan, ["cell", "background"])
    for others in (["background", "nucleus"], ["background", "cell", "border"], ["cell"]):
        with pytest.raises(InputError, match="has classes background, cell; wanted: .*") as error:
            copy_package(package, target, plan, others)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["[]", "{}", '{"fold": 0}', '{"fold": 0, "best": 3}', "null"])
def test_a_fold_without_its_result_is_one_line(fold, tmp_path, text):
    (fold / "fold.json").write_text(text)
    with pytest.raises(InputError, match=r"fold\.json: .*; train again") as error:
        write_package(PLAN, [fold], tmp_path / "package")
    assert "\n" not in str(error.value)


def test_two_folds_of_one_number_are_not_packaged(fold, tmp_path):
    with pytest.raises(InputError, match="--folds: members has 'fold0.safetensors' 2 times"):
        write_package(PLAN, [fold, fold], tmp_path / "package")


def test_a_fold_without_its_weights_is_not_packaged(fold, tmp_path):
    (fold / "best.safetensors").unlink()
    with pytest.raises(InputError, match="best.safetensors: is missing; train again"):
        write_package(PLAN, [fold], tmp_path / "package")
