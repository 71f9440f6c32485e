"""Packages: whole, checked, and read without executing anything."""

import json

import pytest
import torch

from overtile.errors import InputError
from overtile.inference.package import read_package, write_package
from overtile.networks.architecture import Architecture, choose_levels
from overtile.networks.unet import UNet
from overtile.networks.weights import load_network, save_weights
from overtile.stores.digest import digest_file
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
    other = load_network(fold / "w.safetensors", SMALL)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_weights_of_another_network_are_refused(fold):
    wider = Architecture(2, 1, 2, 4, *choose_levels(2, 1, (1.0, 1.0, 1.0)))
    with pytest.raises(InputError, match="does not fit the network"):
        load_network(fold / "best.safetensors", wider)


def test_a_pickle_in_place_of_weights_is_refused_and_not_executed(fold):
    torch.save({"x": torch.zeros(1)}, fold / "best.safetensors")
    with pytest.raises(InputError, match="does not fit the network"):
        load_network(fold / "best.safetensors", SMALL)


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
