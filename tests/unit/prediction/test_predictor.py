"""Networks of packages as one function: against plain forward passes and NumPy's averages."""

import json
import pickle
import weakref
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import pytest
import torch
import yaml

from overtile.errors import InputError
from overtile.geometry.spans import Block
from overtile.networks.device import Device
from overtile.networks.unet.family import Architecture, choose_levels
from overtile.networks.unet.layers import UNet
from overtile.networks.weights import save_weights
from overtile.packages.writing import write_package
from overtile.prediction.blend import blend_box
from overtile.prediction.grid import TileTooLarge
from overtile.prediction.predictor import Predictor
from overtile.prediction.tiles import predict_block
from overtile.settings.prediction import Wanted
from overtile.settings.ranges import NORMS
from overtile.stores.digest import digest_file
from tests.plans import small_plan

CPU = Device(torch.device("cpu"), "fp32", threads=1)
STEP = 1 / 510 + 1e-6
"""By how much a stored probability may be off."""


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Threads are no help to networks this small, and a hindrance where others compute too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def architecture(ndim=2, spacing=(1.0, 1.0, 1.0), classes=3, norm="batch"):
    return Architecture(ndim, 1, classes, 3, *choose_levels(ndim, 1, spacing), norm=norm)


@pytest.fixture
def make(tmp_path):
    """Make a package of networks; returns its folder and the networks themselves."""

    def package(a, members=1, seed=0, change=lambda network, fold: None):
        folds, networks = [], []
        for fold in range(members):
            torch.manual_seed(10 * seed + fold)
            network = UNet(a)
            for module in network.modules():
                if getattr(module, "running_mean", None) is not None:
                    module.running_mean.normal_()
                    module.running_var.uniform_(0.5, 2)
            change(network, fold)
            folder = tmp_path / f"{seed}_fold{fold}"
            folder.mkdir()
            save_weights(folder / "best.safetensors", network)
            done = {
                "fold": fold,
                "best_sha256": digest_file(folder / "best.safetensors"),
                "best": {"epoch": 1},
            }
            (folder / "fold.json").write_text(json.dumps(done))
            folds.append(folder)
            networks.append(network.eval())
        write_package(small_plan(a), folds, tmp_path / f"package{seed}")
        return tmp_path / f"package{seed}", networks

    return package


def tiles(a, count=2, edge=8, seed=0):
    """Normalised pixels of some tiles, (n, c, *input_px) float32."""
    source, _ = a.geometry.sizes_for((edge,) * a.ndim)
    pixels = np.random.default_rng(seed).normal(size=(count, a.in_channels, *source))
    return pixels.astype(np.float32)


def naive(networks, pixels, flips=False, turns=False):
    """Class probabilities of every network and turned tile, (all of them, n, classes, *px)."""
    ndim = pixels.ndim - 2
    found = []
    for which in product((False, True), repeat=ndim) if flips else [(False,) * ndim]:
        axes = [axis for axis, flip in zip(range(-ndim, 0), which, strict=True) if flip]
        for swap in (False, True) if turns else (False,):
            turned = np.flip(pixels, axes)
            turned = np.swapaxes(turned, -1, -2) if swap else turned
            for network in networks:
                with torch.inference_mode():
                    p = network(torch.from_numpy(turned.copy())).softmax(1).numpy()
                p = np.swapaxes(p, -1, -2) if swap else p
                found.append(np.flip(p, axes))
    return np.array(found, dtype=np.float64)


SYMMETRIES = [
    ("none", {}),
    ("flips", {"flips": True}),
    ("flips_and_turns", {"flips": True, "turns": True}),
]


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("norm", NORMS)
def test_one_network_gives_its_softmax_to_half_a_step(make, ndim, norm):
    a = architecture(ndim, norm=norm)
    package, networks = make(a)
    predictor, pixels = Predictor([package], CPU), tiles(a)
    found = predictor(pixels)
    (expected,) = naive(networks, pixels)
    assert found.dtype == np.uint8
    assert found.shape == expected.shape
    assert (predictor.members, len(predictor.channels)) == (1, 3)
    assert np.abs(found / 255 - expected).max() <= STEP
    assert expected.std() > 0.03


@pytest.mark.parametrize(("kind", "how"), SYMMETRIES)
@pytest.mark.parametrize("ndim", [2, 3])
def test_all_members_of_all_packages_and_all_symmetries_count_alike(make, ndim, kind, how):
    a = architecture(ndim)
    (one, first), (other, second) = make(a, members=2), make(a, seed=1)
    predictor = Predictor([one / "plan.yaml", other], CPU, Wanted(symmetries=kind))
    pixels = tiles(a, edge=4)
    assert predictor.members == 3
    expected = naive([*first, *second], pixels, **how).mean(axis=0)
    assert np.abs(predictor(pixels) / 255 - expected).max() <= STEP


@pytest.mark.parametrize(("kind", "how"), SYMMETRIES)
@pytest.mark.parametrize("keep", ["probabilities", "classes"])
def test_uncertainty_is_the_spread_of_members_and_symmetries(make, kind, how, keep):
    a = architecture()
    package, networks = make(a, members=2)
    predictor, pixels = Predictor([package], CPU, Wanted(keep, kind, True)), tiles(a)
    found = predictor(pixels)
    expected = np.sqrt(naive(networks, pixels, **how).var(axis=0).sum(axis=1) / 2)
    assert len(predictor.channels) == found.shape[1] == (4 if keep == "probabilities" else 2)
    assert np.abs(found[:, -1] / 255 - expected).max() <= STEP + 1e-3  # rounding, under a root
    assert expected.max() > 0.1


def test_two_members_that_are_sure_of_different_classes_have_an_uncertainty_of_one_half(make):
    a = architecture(classes=2, norm="none")

    def be_sure(network, fold):
        torch.nn.init.zeros_(network.head.weight)
        network.head.bias.data = torch.tensor([50.0, -50.0] if fold else [-50.0, 50.0])

    package, _ = make(a, members=2, change=be_sure)
    found = Predictor([package], CPU, Wanted(uncertainty=True))(tiles(a))
    assert set(np.unique(found[:, -1])) <= {127, 128}


def test_one_member_without_symmetries_has_no_uncertainty(make):
    a = architecture()
    package, _ = make(a)
    assert not Predictor([package], CPU, Wanted(uncertainty=True))(tiles(a))[:, -1].any()


def test_members_that_agree_have_no_uncertainty(make):
    a = architecture()
    package, _ = make(a)
    assert not Predictor([package] * 3, CPU, Wanted(uncertainty=True))(tiles(a))[:, -1].any()


@pytest.mark.parametrize("uncertainty", [False, True])
def test_classes_are_the_most_probable_ones_before_rounding(make, uncertainty):
    a = architecture()
    package, networks = make(a, members=2)
    predictor = Predictor([package], CPU, Wanted("classes", "none", uncertainty))
    pixels = tiles(a, count=4, edge=60)
    mean = naive(networks, pixels).mean(axis=0)
    first, second = np.sort(mean, axis=1)[:, :-3:-1].swapaxes(0, 1)
    clear = first - second > 1e-5
    found = predictor(pixels)
    assert found.shape[1] == len(predictor.channels) == 1 + uncertainty
    np.testing.assert_array_equal(found[:, 0][clear], mean.argmax(axis=1)[clear])
    assert clear.mean() > 0.99


def whole(predictor, picture, tile_px=10**6, batch_tiles=1):
    """What a predictor says of a picture (c, z, y, x), in tiles."""
    a = predictor.plan.architecture
    shape = picture.shape[1:]
    tile = tuple(min(tile_px, n) for n in shape[-a.ndim :])
    return predict_block(
        predictor, a.geometry, picture, Block((0,) * 3, (0,) * 3, shape), tile, batch_tiles
    ).astype(int)


@pytest.mark.parametrize("kind", ["flips", "flips_and_turns"])
@pytest.mark.parametrize("shape", [(1, 21, 34), (5, 9, 14)])
def test_tiles_equal_the_whole_with_symmetries_too(make, kind, shape):
    package, _ = make(architecture(2 if shape[0] == 1 else 3))
    predictor = Predictor([package], CPU, Wanted(symmetries=kind, uncertainty=True))
    picture = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    assert np.abs(whole(predictor, picture, 6, 3) - whole(predictor, picture)).max() <= 1


@pytest.mark.parametrize("uncertainty", [False, True])
@pytest.mark.parametrize("keep", ["probabilities", "classes"])
@pytest.mark.parametrize("shape", [(1, 21, 34), (5, 9, 14)])
def test_probabilities_and_uncertainty_are_blended_before_they_are_rounded(
    make, shape, keep, uncertainty
):
    a = architecture(2 if shape[0] == 1 else 3, norm="instance")
    package, networks = make(a, members=2)
    predictor = Predictor([package], CPU, Wanted(keep, "flips", uncertainty))
    picture = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)

    def values(pixels):
        all_of_them = naive(networks, pixels, flips=True)
        spread = np.sqrt(all_of_them.var(axis=0).sum(axis=1, keepdims=True) / 2)
        return np.concatenate([all_of_them.mean(axis=0), spread], axis=1).astype(np.float32)

    leading, box = (0,) * (3 - a.ndim), shape[-a.ndim :]
    expected = blend_box(values, a.geometry, picture, leading, (0,) * a.ndim, box, (6,) * a.ndim)
    expected = expected.reshape(-1, *shape)
    found = whole(predictor, picture, 6, 3)
    assert len(found) == len(predictor.channels)
    if keep == "probabilities":
        assert np.abs(found[:3] / 255 - expected[:3]).max() <= STEP
    else:
        first, second = np.sort(expected[:3], axis=0)[:-3:-1]
        clear = first - second > 1e-5
        np.testing.assert_array_equal(found[0][clear], expected[:3].argmax(axis=0)[clear])
        assert len(np.unique(found[0])) > 1
    if uncertainty:
        assert np.abs(found[-1] / 255 - expected[3]).max() <= STEP + 1e-3


def test_what_is_stored_of_probabilities_is_what_a_call_gives(make):
    a = architecture()
    package, _ = make(a, members=2)
    for keep, uncertainty in product(("probabilities", "classes"), (False, True)):
        predictor = Predictor([package], CPU, Wanted(keep, "none", uncertainty))
        (values,) = predictor.probabilities(tiles(a, 1))
        assert values.dtype == np.float32
        assert predictor.stored(values).tobytes() == predictor(tiles(a, 1)).tobytes()


def test_a_blended_model_too_large_for_the_memory_gives_no_other_result_but_an_error(
    make, monkeypatch
):
    package, _ = make(architecture(norm="instance"))
    predictor = Predictor([package], CPU)
    picture = np.random.default_rng(0).normal(size=(1, 1, 30, 41)).astype(np.float32)
    expected = whole(predictor, picture, 12, 1)
    Memory(monkeypatch, tiles=1)
    assert np.abs(whole(predictor, picture, 12, 5) - expected).max() <= 1
    Memory(monkeypatch, tiles=0)
    with pytest.raises(InputError, match="a tile of 12 x 12 px does not fit"):
        whole(predictor, picture, 12, 5)


def turn(array):
    return np.rot90(array, axes=(-2, -1))


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("flips", lambda array: array[..., ::-1]),
        ("flips", lambda array: array[..., ::-1, :]),
        ("flips_and_turns", turn),
        ("flips_and_turns", lambda array: turn(array)[..., ::-1]),
    ],
)
@pytest.mark.parametrize("depth", [1, 4])
def test_what_is_said_of_a_turned_picture_is_the_turned_answer(make, kind, change, depth):
    package, _ = make(architecture(2 if depth == 1 else 3))
    # Edges are multiples of the stride, so that pooling boxes are the same from either side.
    picture = np.random.default_rng(0).normal(size=(1, depth, 12, 18)).astype(np.float32)
    predictor = Predictor([package], CPU, Wanted(symmetries=kind, uncertainty=True))
    turned = np.ascontiguousarray(change(picture))
    assert np.abs(whole(predictor, turned) - change(whole(predictor, picture))).max() <= 1
    alone = Predictor([package], CPU)
    assert np.abs(whole(alone, turned) - change(whole(alone, picture))).max() > 3


class Memory:
    """A device that runs out of memory for more than so many tiles of so many pixels at once."""

    def __init__(self, monkeypatch, tiles=100, edge=10**6):
        self.batches: list[int] = []
        self.failed: list[weakref.ref] = []
        forward = UNet.forward

        def limited(network, x):
            assert all(other() is None for other in self.failed), "a failed try still holds memory"
            if len(x) > tiles or x.shape[-1] > edge:
                self.failed.append(weakref.ref(x))
                raise torch.OutOfMemoryError("CUDA out of memory.")
            self.batches.append(len(x))
            return forward(network, x)

        monkeypatch.setattr(UNet, "forward", limited)


@pytest.mark.parametrize("fitting", [1, 2, 3])
def test_a_batch_too_large_for_the_memory_is_halved_with_the_same_bytes(make, monkeypatch, fitting):
    a = architecture()
    package, _ = make(a, members=2)
    predictor, pixels = (
        Predictor([package], CPU, Wanted("probabilities", "flips", True)),
        tiles(a, 5),
    )
    expected = predictor(pixels)
    memory = Memory(monkeypatch, tiles=fitting)
    assert predictor(pixels).tobytes() == expected.tobytes()
    assert memory.failed
    assert sum(memory.batches) == 5 * 2 * 4


def test_memory_that_ends_amid_the_members_counts_none_of_them_twice(make, monkeypatch):
    a = architecture()
    package, _ = make(a, members=2)
    predictor, pixels = Predictor([package], CPU, Wanted(uncertainty=True)), tiles(a, 4)
    expected = predictor(pixels)
    calls, forward = [], UNet.forward

    def once(network, x):
        calls.append(len(x))
        if len(calls) == 2:
            raise torch.OutOfMemoryError
        return forward(network, x)

    monkeypatch.setattr(UNet, "forward", once)
    assert predictor(pixels).tobytes() == expected.tobytes()
    assert calls == [4, 4, 2, 2, 2, 2]


def test_a_single_tile_too_large_for_the_memory_is_said_to_be_so(make, monkeypatch):
    a = architecture()
    package, _ = make(a)
    predictor = Predictor([package], CPU)
    Memory(monkeypatch, tiles=0)
    with pytest.raises(TileTooLarge, match="CUDA out of memory"):
        predictor(tiles(a, 3))


def test_a_picture_is_predicted_on_a_device_too_small_for_its_tiles(make, monkeypatch):
    a = architecture()
    package, _ = make(a)
    predictor = Predictor([package], CPU)
    picture = np.random.default_rng(0).normal(size=(1, 1, 30, 41)).astype(np.float32)
    expected = whole(predictor, picture)
    memory = Memory(monkeypatch, tiles=2, edge=a.geometry.sizes_for((6, 6))[0][0])
    assert np.abs(whole(predictor, picture, 24, 5) - expected).max() <= 1
    assert memory.failed


def test_another_error_of_the_network_is_not_taken_for_too_little_memory(make, monkeypatch):
    a = architecture()
    package, _ = make(a)
    predictor = Predictor([package], CPU)

    def fail(network, x):
        raise RuntimeError("something else")

    monkeypatch.setattr(UNet, "forward", fail)
    with pytest.raises(RuntimeError, match="something else"):
        predictor(tiles(a, 3))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(), [255, 0, 0]),
        (Wanted(uncertainty=True), [255, 0, 0, 0]),
        (Wanted("classes"), [0]),
        (Wanted("classes", "flips", True), [0, 0]),
    ],
)
def test_nothing_is_surely_background(make, wanted, expected):
    package, _ = make(architecture())
    predictor = Predictor([package], CPU, wanted)
    assert predictor.nothing.dtype == np.uint8
    assert predictor.nothing.tolist() == expected
    assert len(predictor.channels) == len(expected)


def test_several_threads_get_what_one_gets(make):
    a = architecture()
    package, _ = make(a, members=2)
    predictor = Predictor([package], CPU, Wanted(symmetries="flips", uncertainty=True))
    pieces = [tiles(a, seed=seed) for seed in range(6)]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(predictor, pieces))
    assert [t.tobytes() for t in together] == [predictor(p).tobytes() for p in pieces]


def test_models_of_another_kind_are_not_averaged(make):
    one, _ = make(architecture())
    for seed, other in enumerate((architecture(classes=2), architecture(norm="none")), start=1):
        package, _ = make(other, seed=seed)
        with pytest.raises(
            InputError, match="package.: its network, classes or size of .* differ from"
        ):
            Predictor([one, package], CPU)


def test_models_with_the_same_classes_in_another_order_are_not_averaged_by_number(make):
    (one, _), (other, _) = (make(architecture(), seed=seed) for seed in (0, 1))
    plan = yaml.safe_load((other / "plan.yaml").read_text())
    plan["classes"] = plan["classes"][::-1]
    (other / "plan.yaml").write_text(yaml.safe_dump(plan))
    with pytest.raises(
        InputError, match="package1: its network, classes or size of .* differ from"
    ):
        Predictor([one, other], CPU)


@pytest.mark.parametrize(("norm", "is_refused"), [("instance", True), ("batch", False)])
def test_models_blended_in_other_tiles_are_not_averaged(make, norm, is_refused):
    (one, _), (other, _) = (make(architecture(norm=norm), seed=seed) for seed in (0, 1))
    plan = yaml.safe_load((other / "plan.yaml").read_text())
    (other / "plan.yaml").write_text(yaml.safe_dump({**plan, "tile_output_px": [6, 6]}))
    if is_refused:
        with pytest.raises(InputError, match="package1: its .*size of blended tiles differ"):
            Predictor([one, other], CPU)
    else:
        assert Predictor([one, other], CPU).members == 2


@pytest.mark.parametrize("kind", ["none", "flips"])
@pytest.mark.parametrize("keep", ["probabilities", "classes"])
def test_a_model_that_gives_no_numbers_is_named_in_place_of_a_result(make, keep, kind):
    a = architecture()

    def spoil(network, fold):
        with torch.no_grad():
            network.head.bias[1] = torch.nan

    package, _ = make(a, change=spoil)
    predictor = Predictor([package], CPU, Wanted(keep, kind))
    with pytest.raises(InputError, match="package0: the model gives no numbers.*; train again"):
        predictor(tiles(a))
    with pytest.raises(InputError, match="the model gives no numbers"):
        predictor.probabilities(tiles(a))


def test_weight_files_are_checked_once(make, monkeypatch):
    a = architecture()
    (one, _), (other, _) = make(a, members=2), make(a, seed=1)
    checked = []

    def digest(file):
        checked.append(file)
        return digest_file(file)

    monkeypatch.setattr("overtile.packages.package.digest_file", digest)
    Predictor([one, other / "plan.yaml"], CPU)
    assert len(checked) == len(set(checked)) == 3


def test_memory_is_given_back_to_the_device_when_nothing_of_the_failed_try_holds_it(
    make, monkeypatch
):
    a = architecture()
    package, _ = make(a)
    predictor, memory, freed = Predictor([package], CPU), Memory(monkeypatch, tiles=1), []

    def empty_cache():
        freed.append([other() for other in memory.failed])

    monkeypatch.setattr(torch.cuda, "empty_cache", empty_cache)
    predictor(tiles(a, 2))
    assert freed == [[None]]


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_network_that_pools_y_and_x_differently_is_not_turned(make, ndim):
    package, _ = make(architecture(ndim, spacing=(1.0, 1.0, 2.5)))
    with pytest.raises(InputError, match="flips_and_turns.*allowed: none, flips"):
        Predictor([package], CPU, Wanted(symmetries="flips_and_turns"))
    Predictor([package], CPU, Wanted(symmetries="flips"))


def test_a_volume_with_coarse_planes_is_turned(make):
    a = architecture(3, spacing=(3.0, 1.0, 1.0))
    package, networks = make(a)
    pixels = tiles(a, edge=4)
    found = Predictor([package], CPU, Wanted(symmetries="flips_and_turns"))(pixels)
    expected = naive(networks, pixels, flips=True, turns=True).mean(axis=0)
    assert np.abs(found / 255 - expected).max() <= STEP


def test_sent_to_a_worker_several_times_it_is_loaded_there_once(make):
    a = architecture()
    package, _ = make(a)
    predictor = Predictor([package], CPU, Wanted(uncertainty=True))
    sent = pickle.dumps(predictor)
    assert len(sent) < 2000  # no weights
    there, again = pickle.loads(sent), pickle.loads(sent)  # noqa: S301
    assert there is again and there is not predictor
    assert np.array_equal(there(tiles(a)), predictor(tiles(a)))
