"""Plans: what follows is not written, what is written is checked, and keys stay what they were."""

import copy
import json
import random
import time
from dataclasses import asdict, dataclass, replace

import pytest
import torch
import yaml

from overtile.errors import InputError
from overtile.networks.limits import LARGEST_MAP, MOST_PARAMETERS
from overtile.networks.unet.family import UNET, Architecture, choose_levels
from overtile.networks.unet.layers import UNet
from overtile.planning.plan import Fold
from overtile.planning.reading import check_plan, plan_from, read_plan
from overtile.settings.checks import to_plain
from overtile.settings.model import Augmentation
from overtile.stores.digest import digest_of
from overtile.stores.yaml_files import write_yaml
from tests.plans import known_slide, small_plan

CUBIC = (1.0, 1.0, 1.0)
BEFORE = """\
format: 1
classes:
- membrane
- cell
architecture:
  ndim: 2
  in_channels: 1
  classes: 2
  width: 4
  pools:
  - - 2
    - 2
  kernels:
  - - 3
    - 3
  - - 3
    - 3
  dropout: 0.2
  norm: batch
spacing:
- 1.0
- 1.0
tile_input_px:
- 84
- 84
tile_output_px:
- 68
- 68
weights:
  w0: 10
  sigma_px: 3
  sigma_um: null
  tolerance: 1.0e-06
  class_weights:
  - 2.314099
  - 0
loss: cross_entropy
optimiser: adam
learning_rate: 0.003
batch_tiles: 1
epochs: 16
steps_per_epoch: 50
validation_tiles: 8
augmentation:
  elastic_px: 10
  rotation_degrees: 180
  flips: true
  contrast: 0.25
  brightness: 0.25
  noise: 0.05
seed: 0
folds:
- train:
  - b
  - a
  validation: []
slides:
- slide: a
  digest: abc
  labels_digest: def
  separate_px: 1
  shape_px:
  - 1
  - 1024
  - 1024
  channels: 1
  pixel_size_um: null
  dtype: uint16
  mean:
  - 1073.863558769226
  std:
  - 467.48137153647224
  class_counts:
  - 221258
  - 0
  ignored_px: 0
  objects: 0
  mean_object_px: null
"""
"""A plan as it was written when tile_input_px stood in the file."""


def values() -> dict:
    """The plain values of such a plan."""
    return yaml.safe_load(BEFORE)


def refusal(changed: dict) -> str:
    with pytest.raises(InputError) as error:
        plan_from(changed, "plan.yaml")
    message = str(error.value)
    assert message.startswith("plan.yaml") and "\n" not in message and len(message) < 600
    return message


def test_keys_of_finished_trainings_are_made_as_they_were_before_plans_had_types(tmp_path):
    (tmp_path / "plan.yaml").write_text(BEFORE)
    plan = read_plan(tmp_path / "plan.yaml")
    before = {name: value for name, value in values().items() if name != "slides"}
    assert repr(sorted(plan.identity().items())) == repr(sorted(before.items()))
    assert digest_of(plan.identity(), 0, "cpu") == digest_of(before, 0, "cpu")
    write_yaml(tmp_path / "again.yaml", to_plain(plan))
    assert "tile_input_px" not in (tmp_path / "again.yaml").read_text()
    assert read_plan(tmp_path / "again.yaml") == plan
    assert digest_of(read_plan(tmp_path / "again.yaml").identity()) == digest_of(before)


def test_a_setting_that_comes_later_changes_no_file_and_no_key_unless_it_is_used():
    @dataclass(frozen=True)
    class Later(Augmentation):
        gamma: float = 0.0

    plan = plan_from(values(), "plan.yaml")
    known = asdict(plan.augmentation)
    unused, used = (replace(plan, augmentation=Later(**known, gamma=g)) for g in (0.0, 0.1))
    assert unused.written() == plan.written()
    assert {**plan.written(), "family": plan.family} == to_plain(plan)
    assert digest_of(unused.identity()) == digest_of(plan.identity())
    assert used.identity()["augmentation"] == {**known, "gamma": 0.1}
    assert used.written()["augmentation"] == {**known, "gamma": 0.1}


def test_what_follows_from_a_plan_must_be_right_where_it_stands_in_a_file():
    assert plan_from(values(), "plan.yaml").tile_input_px == (84, 84)
    message = refusal(values() | {"tile_input_px": [90, 90]})
    assert "tile_input_px is [90, 90], but [84, 84] follows" in message
    assert message.endswith("write this value, or remove the key")
    for odd in (None, [84], "84", [84, 84.5], {}, [[84, 84]]):
        assert "[84, 84] follows" in refusal(values() | {"tile_input_px": odd})


@pytest.mark.parametrize(
    ("output", "nearest"), [([69, 68], "68 or 70, 68"), ([1, 67], "2, 66 or 68")]
)
def test_a_tile_that_a_network_cannot_give_is_refused_with_the_nearest(output, nearest):
    changed = values() | {"tile_output_px": output}
    del changed["tile_input_px"]
    assert refusal(changed).endswith(f"nearest along each axis: {nearest}")


def changed(path: str, value: object) -> dict:
    """The plan with one value changed; path: keys and numbers, with points between."""
    plan = values()
    *parents, last = [int(k) if k.isdigit() else k for k in path.split(".")]
    part = plan
    for key in parents:
        part = part[key]
    part[last] = value
    return plan


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("format", 2, "format is 2; allowed: (1,)"),
        ("epoch", 3, "unknown key 'epoch'; did you mean 'epochs'?"),
        ("architecture.norms", "batch", "architecture: unknown key 'norms'; did you mean 'norm'?"),
        ("architecture.ndim", 4, "ndim is 4; allowed: (2, 3)"),
        ("architecture.ndim", 3, "architecture: pools is [2, 2]; allowed: 3 values"),
        ("architecture.ndim", True, "ndim is True, not int"),
        ("architecture.pools.0", [2], "pools is [2]; allowed: 2 values, one per axis"),
        ("architecture.pools.0.0", 9, "pools is 9; allowed: 1 to 4"),
        ("architecture.kernels.0.0", 2, "kernels is 2; allowed: (1, 3, 5, 7)"),
        ("architecture.kernels", [[3, 3]], "has 1 kernels for 1 pools"),
        ("architecture.pools", [], "depth is 0; allowed: 1 to 7"),
        ("architecture.width", 2000, "width is 2000; allowed: 1 to 1024"),
        ("architecture.classes", 3, "has 2 classes, but its network has 3 outputs"),
        ("classes", ["a", "b", "c"], "has 3 classes, but its network has 2 outputs"),
        ("classes", ["a", "a"], "classes has 'a' 2 times"),
        ("classes", ["a", "b\tc"], r"classes has the name 'b\tc'; allowed: 1 to 200 printable"),
        ("classes", ["a"], "classes is 1; allowed: 2 to 255"),
        ("classes", ["a", 3], "classes is 3, not str"),
        ("spacing", [1.0], "spacing is [1.0]; allowed: 2 values"),
        ("spacing.0", 0.0, "spacing is 0.0; allowed: above 0, finite"),
        ("spacing.0", float("inf"), "spacing is inf; allowed: above 0, finite"),
        ("learning_rate", float("nan"), "learning_rate is nan; allowed: above 0, finite"),
        ("learning_rate", "1e-3", "not float; correct it (numbers like 1e-3 need a point: 1.0e-3)"),
        ("learning_rate", 10**400, "allowed: above 0, finite"),
        ("seed", 2**63, "allowed: 0 to 10000000000000"),
        ("seed", -1, "allowed: 0 to"),
        ("augmentation.flips", 1, "augmentation: flips is 1, not bool"),
        ("weights.class_weights", [1.0], "has 1 class_weights for 2 classes"),
        ("folds", [], "folds is empty"),
        ("folds.0.train", [], "folds 0: train is empty"),
        ("folds.0.train", ["a", "a"], "folds 0: train has 'a' 2 times"),
        ("folds.0.train.0", 7, "folds 0: train is 7, not str"),
        ("folds.0.validation", ["a"], "folds 0: a is in train and in validation"),
        ("folds.0", "a", "folds 0: is 'a'; allowed: keys with values"),
        ("slides", {"a": 1}, "slides is {'a': 1}, not a list"),
        ("slides.0.pixel_size_um", [1.0, 0.0, 1.0], "slides 0: pixel_size_um is 0.0; allowed: ab"),
        ("slides.0.pixel_size_um", [1.0], "slide a: pixel_size_um is [1.0]; allowed: 3 values"),
        ("slides.0.mean", [1.0, 2.0], "slide a: mean has 2 values; allowed: 1"),
        ("slides.0.std", [], "slide a: std has 0 values; allowed: 1"),
        ("slides.0.class_counts", [1, 2, 3], "slide a: class_counts has 3 values; allowed: 2"),
        ("batch_tiles", 4097, "batch_tiles is 4097; allowed: 1 to 4096"),
    ],
)
def test_a_wrong_value_is_one_line_that_says_where_it_is_and_what_is_allowed(path, value, words):
    assert words in refusal(changed(path, value))


@pytest.mark.parametrize("key", values())
def test_a_key_that_is_missing_is_named_unless_it_follows_from_others(key):
    plan = values()
    del plan[key]
    if key == "tile_input_px":
        assert plan_from(plan, "plan.yaml") == plan_from(values(), "plan.yaml")
    else:
        assert f"'{key}'" in refusal(plan)


def test_a_number_that_python_does_not_write_is_refused_all_the_same():
    message = refusal(changed("epochs", 16**5000))
    assert "epochs is a number of thousands of digits; allowed: 1 to 1000000" in message


def test_slides_that_are_named_twice_are_refused():
    plan = values()
    plan["slides"] *= 2
    assert "slides has 'a' 2 times" in refusal(plan)


def network(width=64, depth=4, ndim=2, channels=1) -> Architecture:
    return Architecture(ndim, channels, 2, width, *choose_levels(ndim, depth, CUBIC))


def test_networks_and_tiles_that_no_gpu_has_room_for_are_refused_before_they_are_built():
    began = time.monotonic()
    for a in (network(), network(256), network(64, 7), network(128, 7), network(64, 5, 3)):
        assert UNET.parameters(a) <= MOST_PARAMETERS
        check_plan(small_plan(a), "plan.yaml")
    tile = network().geometry.sizes_for((20_000, 20_000))[1]
    for plan, words in [
        (small_plan(network(1024, 6)), "the network has .* parameters .*lower width or depth"),
        (small_plan(network(), tile_output_px=tile), f"allowed: {LARGEST_MAP:,}; lower the tile"),
        (small_plan(network(), batch_tiles=4096, tile_output_px=(388, 388)), "4096 at once, make"),
    ]:
        with pytest.raises(InputError, match=words):
            check_plan(plan, "plan.yaml")
    assert "architecture: depth is 100; allowed: 1 to 7" in refusal(
        to_plain(small_plan(network(1, 100)))
    )
    assert time.monotonic() - began < 1


def mutants(plan: dict) -> list[dict]:
    """The plan with each of its parts, at any depth, taken out, or replaced by any odd value."""
    odd = [None, True, 0, 1, 2, 3, -1, 10**9, 10**400, 16**5000, 1.5, -0.0, float("nan")]
    odd += [float("inf"), 1e308, "", "x", "a\nb", "x" * 10_000, [], [[]], [None], [1, 1], [3] * 3]
    odd += [["a", "b"], [[2, 2]] * 2, {}, {"a": {"b": [1]}}, [{}], [["a"]] * 50, {"x" * 999: 1}]
    found = []

    def visit(part: object, path: tuple) -> None:
        keys = (
            range(len(part)) if isinstance(part, list) else part if isinstance(part, dict) else ()
        )
        for key in keys:
            for value in (*odd, "taken out"):
                mutant = copy.deepcopy(plan)
                place = mutant
                for step in path:
                    place = place[step]
                if value == "taken out":
                    del place[key]
                else:
                    place[key] = value
                found.append(mutant)
            visit(part[key], (*path, key))

    visit(plan, ())
    return found


def forward_shape(plan) -> tuple[int, ...]:
    """Output of the plan's network for one of its tiles, on no device at all."""
    a = plan.architecture
    with torch.device("meta"):
        return tuple(UNet(a)(torch.empty(1, a.in_channels, *plan.tile_input_px)).shape)


def test_every_damage_to_a_plan_is_one_line_or_leaves_a_plan_that_fits_together():
    accepted, slowest = [], 0.0
    for mutant in mutants(values()):
        began = time.monotonic()
        try:
            accepted.append(plan_from(mutant, "plan.yaml"))
        except InputError as error:
            assert str(error).startswith("plan.yaml") and "\n" not in str(error)
            assert len(str(error)) < 900
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 1 and len(accepted) > 50
    networks = {}
    for plan in accepted:
        assert plan_from(to_plain(plan), "plan.yaml") == plan
        assert json.loads(json.dumps(plan.identity())) == plan.identity()
        networks[plan.architecture, plan.tile_output_px] = plan
    assert len(networks) > 5
    for plan in networks.values():
        assert forward_shape(plan) == (1, len(plan.classes), *plan.tile_output_px)


def test_damage_to_the_files_text_is_one_line_or_leaves_a_plan(tmp_path):
    rng, path = random.Random(0), tmp_path / "plan.yaml"
    for _ in range(300):
        text = list(BEFORE)
        for _ in range(rng.choice((1, 2, 8))):
            place = rng.randrange(len(text))
            text[place] = rng.choice(
                ["", "\n", ":", "- ", "&a ", "*a", "!!int ", "9", "{", "[", "é"]
            )
        path.write_text("".join(text))
        try:
            plan = read_plan(path)
        except InputError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
        else:
            check_plan(plan, "plan.yaml")


def test_a_fold_knows_its_slides_in_order():
    assert Fold(("a", "b"), ("c",)).slides == ("a", "b", "c")
    assert small_plan(slides=(known_slide("x"),)).slides[0].slide == "x"
