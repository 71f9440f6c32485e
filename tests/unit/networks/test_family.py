"""A family of networks is one module: planned, trained, packaged and predicted with by its name."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import pad

from overtile.errors import InputError
from overtile.ingest.pictures import write_picture
from overtile.ingest.references import write_reference
from overtile.networks.channels import Channel, channels_of
from overtile.networks.device import Device
from overtile.networks.family import FAMILIES, Geometry, load_family
from overtile.networks.weights import load_network, save_weights
from overtile.objects.channels import NamedChannel
from overtile.packages.package import read_package
from overtile.packages.writing import write_package
from overtile.planning.decisions import make_plan
from overtile.planning.reading import plan_from, read_plan
from overtile.prediction.options import choose_tiling
from overtile.prediction.predictor import Predictor
from overtile.prediction.slide import Prediction, write_prediction
from overtile.settings.checks import to_plain
from overtile.settings.keys import key_values
from overtile.settings.model import Settings
from overtile.settings.prediction import Wanted
from overtile.stores.digest import digest_file
from overtile.stores.files import write_json
from overtile.stores.store import Store
from overtile.stores.yaml_files import write_yaml
from overtile.training.checkpoint import Origin
from overtile.training.loop import train_fold
from overtile.training.samples import Slide, refuse_unlike
from tests.plans import known_slide, small_plan
from tests.toy_families import ToyArchitecture
from tests.unit.finished import raw
from tests.unit.tiny import Held, one_thread  # noqa: F401

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"
CPU = Device(torch.device("cpu"), "fp32", 1)
EDGE = 40
NAMES = ("ground", "cell")
TOY = ToyArchitecture(2, 1, 2, 3)


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    """Two more families: each one entry of the registry."""
    for name in ("toy", "distance"):
        monkeypatch.setitem(FAMILIES._places, name, f"tests.toy_families:{name.upper()}")


def make_slide(folder: Path, name: str) -> Slide:
    """A noisy picture of a bright square, and where it is; every pixel weighs 1."""
    rng = np.random.default_rng(len(name))
    classes = np.zeros((1, EDGE, EDGE), np.uint8)
    classes[0, 8:24, 10:30] = 1
    pixels = 100 + 40 * classes + rng.integers(0, 50, classes.shape)
    path = folder / f"{name}.ome.zarr"
    write_picture(raw(pixels[None].astype(np.uint8)), path, name, None, None)
    target = path / "labels" / "reference"
    write_reference(raw(classes[None]), target, name, "semantic", NAMES, [0, 1], 255, None)
    image, labels = Store.open(path), Store.open(target)
    return Slide(image, labels.label_classes(), Held(name, np.ones((1, EDGE, EDGE), np.float32)))


def whole(image: Store, network: torch.nn.Module, margin: int) -> torch.Tensor:
    """What a network says in one pass over the whole mirrored image, (channels, y, x)."""
    pixels = (image.array[:, 0].astype(np.float64) - image.mean[0]) / image.std[0]
    x = pad(torch.from_numpy(pixels[None].astype(np.float32)), (margin,) * 4, mode="reflect")
    with torch.inference_mode():
        return network.eval()(x)[0]


def predict(image: Store, package: Path, folder: Path, wanted: Wanted) -> Store:
    """The store of a prediction in tiles of 16 px."""
    predictor = Predictor([package], CPU, wanted)
    tiling = choose_tiling(predictor, image.shape, 4.0, block_px=16)
    prediction = Prediction(image, predictor, tiling, None)
    write_prediction(prediction, folder, "key", wanted=key_values(wanted))
    return Store.open(folder, "probabilities")


def test_a_toy_is_planned_trained_packaged_and_predicts_the_same_in_tiles_as_at_once(tmp_path):
    slides = {name: make_slide(tmp_path, name) for name in ("one", "three")}
    images = [slide.image for slide in slides.values()]
    labels = [image.label("reference") for image in images]
    settings = Settings(
        family="toy", width=3, tile_px=(16, 16), epochs=2, steps_per_epoch=3, learning_rate=0.01
    )
    plan = make_plan(images[:1], images[1:], labels, ["one"], settings)
    assert plan.architecture == TOY
    write_yaml(tmp_path / "plan.yaml", plan.written())
    assert read_plan(tmp_path / "plan.yaml") == plan
    origin = Origin("key", "code", "cpu", "fp32")
    train_fold(plan, 0, slides, tmp_path / "fold0", origin, None, CPU)
    write_package(plan, [tmp_path / "fold0"], tmp_path / "package")
    package = read_package(tmp_path / "package")
    assert "A 2D toy (width 3) that tells apart: ground, cell." in (
        tmp_path / "package" / "README.md"
    ).read_text(encoding="utf-8")
    network = load_network(package.files[0], plan.network, package.plan.architecture)
    expected = whole(images[1], network, 2).softmax(0).numpy() * 255
    found = predict(images[1], tmp_path / "package", tmp_path / "p.ome.zarr", Wanted())
    assert np.abs(found.array[:, 0] - expected).max() <= 0.5 + 1e-3
    assert found.attributes["tiles"] == 9
    assert "channels" not in found.attributes


@pytest.mark.parametrize("keep", ["probabilities", "classes"])
@pytest.mark.parametrize("uncertainty", [False, True])
def test_channels_are_stored_by_their_scale_and_asked_for_by_name(tmp_path, keep, uncertainty):
    image = make_slide(tmp_path, "one").image
    plan = small_plan(family="distance", architecture=TOY, classes=NAMES, slides=(known_slide(),))
    torch.manual_seed(1)  # distances of 0, of 25.5 and more, and between
    network = plan.network.build(TOY)
    with torch.no_grad():
        network.layers[-1].weight[2] *= 20
    (tmp_path / "fold0").mkdir()
    save_weights(tmp_path / "fold0" / "best.safetensors", network)
    digest = digest_file(tmp_path / "fold0" / "best.safetensors")
    done = {"fold": 0, "best_sha256": digest, "best": {"epoch": 1}}
    write_json(tmp_path / "fold0" / "fold.json", done)
    write_package(plan, [tmp_path / "fold0"], tmp_path / "package")
    wanted = Wanted(keep, "flips" if uncertainty else "none", uncertainty)
    store = predict(image, tmp_path / "package", tmp_path / "p.ome.zarr", wanted)
    classes = NAMES if keep == "probabilities" else ("class",)
    names = [channel.name for channel in channels_of(store.attributes)]
    assert names == [*classes, "distance", *["uncertainty"] * uncertainty]
    assert len(names) == store.array.shape[0]
    distance = NamedChannel(store, "distance")
    assert distance.channel == Channel("distance", "distance", 0.1)
    if not uncertainty:
        said = whole(image, network, 2)
        expected = said[2].clamp(0, 25.5).numpy()
        assert 0 < (expected == 25.5).mean() < 1 and 0 < (expected == 0).mean() < 1
        assert np.abs(distance[0, :, :] - expected).max() <= 0.05 + 1e-4
        if keep == "classes":
            assert (NamedChannel(store, "class")[0, :, :] == said[:2].argmax(0).numpy()).all()
        else:
            cell = NamedChannel(store, "cell")[0, :, :]
            assert np.abs(cell - said[:2].softmax(0)[1].numpy()).max() <= 1 / 510 + 1e-4
    with pytest.raises(InputError, match="has no channel 'depth'; it has .*distance"):
        NamedChannel(store, "depth")


def test_a_plan_of_the_first_family_names_none_and_a_plan_of_another_does():
    plan = small_plan()
    assert "family" not in plan.written() and "family" not in plan.identity()
    toy = small_plan(family="toy", architecture=TOY)
    assert toy.written()["family"] == "toy"
    assert list(toy.written()["architecture"]) == ["ndim", "in_channels", "classes", "width"]
    assert plan_from(toy.written(), "plan.yaml") == toy


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"family": "tpy"}, "family is 'tpy'; allowed: unet, toy, distance"),
        ({"family": ["toy"]}, r"family is \['toy'\]; allowed"),
        ({"family": "unet"}, "architecture: key 'pools' is missing"),
        ({"architecture": to_plain(TOY) | {"pools": []}}, "architecture: unknown key 'pools'"),
        ({"architecture": to_plain(TOY) | {"width": 0}}, "width is 0; allowed: 1 to"),
        ({"architecture": to_plain(TOY) | {"width": 2**30}}, "width is 1073741824; allowed"),
        ({"batch_tiles": 4096, "tile_output_px": [9999] * 2}, "make a map of [0-9,]+ numbers"),
    ],
)
def test_a_plan_is_checked_by_the_declaration_of_its_family(change, words):
    values = small_plan(family="toy", architecture=TOY).written()
    with pytest.raises(InputError, match=f"plan.yaml.*{words}"):
        plan_from(values | change, "plan.yaml")


def test_a_family_that_is_not_there_is_one_line():
    with pytest.raises(InputError, match="settings: family is 'segnet'; allowed: unet"):
        load_family("segnet", "settings")


def test_a_network_that_gives_more_than_classes_is_not_trained_as_if_they_were_classes():
    refuse_unlike(small_plan(family="toy", architecture=TOY), [])
    with pytest.raises(InputError, match=r"family is 'distance'.* \(distance\); only classes can"):
        refuse_unlike(small_plan(family="distance", architecture=TOY), [])


def test_sizes_of_padded_networks_are_those_wanted_with_a_halo():
    geometry = Geometry(2, (8, 4), (4, 2), (4, 2))
    assert geometry.sizes_for((13, 13)) == ((32, 22), (16, 14))
    assert geometry.sizes_for((1, 1)) == ((20, 10), (4, 2))
    assert not geometry.is_square and replace(geometry, stride=(4, 4)).is_square is False


OF_THE_UNET = re.compile(r"u-?net\b|\bunet|architecture\.(width|pools|kernels|norm|dropout)", re.I)
NAMED_ON_PURPOSE = {
    "overtile/settings/model.py": "the default of the setting `family`",
    "overtile/geometry/borders.py": "the paper of the weight map",
    "overtile/prediction/blend.py": "nnU-Net's paper",
}


def test_nothing_outside_networks_names_a_family_or_looks_inside_a_network():
    files = [f for f in SCRIPTS.rglob("*.py") if "networks" not in f.parts]
    found = {
        file.relative_to(SCRIPTS).as_posix()
        for file in files
        if OF_THE_UNET.search(file.read_text(encoding="utf-8"))
    }
    assert found <= NAMED_ON_PURPOSE.keys()
    assert len(files) > 100
