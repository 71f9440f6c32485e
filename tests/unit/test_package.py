"""Packages: whole, checked, and read without executing anything."""

import json

import pytest
import torch

from overtile.errors import InputError
from overtile.inference.package import read_package, write_package
from overtile.networks.architecture import Architecture, choose_levels
from overtile.networks.unet import UNet
from overtile.networks.weights import load_weights, save_weights
from overtile.stores.digest import digest_file

ARCHITECTURE = Architecture(2, 1, 2, 2, *choose_levels(2, 1, (1.0, 1.0, 1.0)))
PLAN = {
    "classes": ["background", "cell"],
    "architecture": ARCHITECTURE.to_dict(),
    "tile_input_px": [20, 20],
    "tile_output_px": [4, 4],
    "slides": [{"slide": "<b>one</b>", "pixel_size_um": None}],
    "loss": "cross_entropy",
    "weights": {"w0": 10, "sigma_px": 5, "sigma_um": None},
    "epochs": 1,
    "steps_per_epoch": 1,
    "seed": 0,
}


@pytest.fixture
def fold(tmp_path):
    folder = tmp_path / "fold0"
    folder.mkdir()
    save_weights(folder / "best.safetensors", UNet(ARCHITECTURE))
    digest = digest_file(folder / "best.safetensors")
    done = {"fold": 0, "best_sha256": digest, "best": {"epoch": 1}}
    (folder / "fold.json").write_text(json.dumps(done))
    return folder


def test_weights_come_back_as_they_were(fold):
    one, other = UNet(ARCHITECTURE), UNet(ARCHITECTURE)
    save_weights(fold / "w.safetensors", one)
    load_weights(fold / "w.safetensors", other)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_weights_of_another_network_are_refused(fold):
    wider = Architecture(2, 1, 2, 4, *choose_levels(2, 1, (1.0, 1.0, 1.0)))
    with pytest.raises(InputError, match="does not fit the network"):
        load_weights(fold / "best.safetensors", UNet(wider))


def test_a_pickle_in_place_of_weights_is_refused_and_not_executed(fold):
    torch.save({"x": torch.zeros(1)}, fold / "best.safetensors")
    with pytest.raises(InputError, match="does not fit the network"):
        load_weights(fold / "best.safetensors", UNet(ARCHITECTURE))


def test_a_package_names_its_weights_by_digest(fold, tmp_path):
    write_package(PLAN, [fold], tmp_path / "package")
    plan = read_package(tmp_path / "package" / "plan.yaml")
    (member,) = plan["members"]
    assert member["sha256"] == digest_file(tmp_path / "package" / member["file"])


def test_weights_changed_after_training_are_not_packaged(fold, tmp_path):
    save_weights(fold / "best.safetensors", UNet(ARCHITECTURE))
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
    with pytest.raises(InputError, match="best.safetensors: missing or changed"):
        read_package(tmp_path / "package")
