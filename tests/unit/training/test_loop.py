"""Training, step by step: against NumPy, and that the best epoch is what is kept."""

import copy
import json
from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from overtile.errors import InputError
from overtile.geometry.components import IGNORE
from overtile.networks.device import Device
from overtile.planning.plan import Fold
from overtile.settings.model import Augmentation
from overtile.stores.run_log import read_run_log
from overtile.training import loop
from overtile.training.checkpoint import Origin, read_checkpoint, save_checkpoint
from overtile.training.loop import (
    begin,
    learning_rate,
    take_step,
    train_epoch,
    train_fold,
    validate,
)
from overtile.training.losses import LOSSES
from overtile.training.results import BEST, DONE, HISTORY, LAST
from overtile.training.samples import Tile, TileSampler, validation_tiles
from tests.unit.tiny import discs, one_thread, plan_of, slide_of  # noqa: F401

CPU = Device(torch.device("cpu"), "fp32", 1)
ORIGIN = Origin("key", "code", "cpu", "fp32")


def batch_of(plan, seed=0, weight=1.0) -> Tile:
    """A random batch of a plan's size."""
    rng = np.random.default_rng(seed)
    shape = (1, *plan.tile_output_px)
    return Tile(
        rng.normal(size=(1, 1, *plan.tile_input_px)).astype(np.float32),
        rng.integers(0, 2, shape),
        np.full(shape, weight, np.float32),
    )


def gradient_of(plan, network, batch) -> list[np.ndarray]:
    """Of the loss of a batch, one array per parameter, clipped to a length of 10 in NumPy."""
    twin = copy.deepcopy(network)
    logits = twin(torch.from_numpy(batch.image))
    labels, weights = torch.from_numpy(batch.labels), torch.from_numpy(batch.weights)
    LOSSES.load(plan.loss)(logits, labels, weights).backward()
    gradients = [p.grad.numpy().astype(float) for p in twin.parameters()]
    length = np.sqrt(sum((g**2).sum() for g in gradients))
    return [g * min(1.0, 10.0 / length) for g in gradients], length


def parameters(network) -> list[np.ndarray]:
    return [p.detach().numpy().astype(float).copy() for p in network.parameters()]


# The second weight makes gradients that are clipped.
@pytest.mark.parametrize(("weight", "is_clipped"), [(1.0, False), (1e4, True)])
@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_steps_of_the_optimiser_are_those_of_numpy(optimiser, weight, is_clipped):
    plan = plan_of(optimiser=optimiser, learning_rate=0.01)
    network, stepper = begin(plan, 0, CPU)
    expected = parameters(network)
    first = [np.zeros_like(p) for p in expected]
    second = [np.zeros_like(p) for p in expected]
    for step in range(1, 4):
        batch = batch_of(plan, step, weight)
        gradients, length = gradient_of(plan, network, batch)
        assert (length > 10) == is_clipped
        for n, g in enumerate(gradients):
            if optimiser == "sgd":  # momentum as in the paper: 0.99
                first[n] = 0.99 * first[n] + g
                expected[n] -= 0.01 * first[n]
            else:  # Kingma and Ba 2015, algorithm 1, with its defaults
                first[n] = 0.9 * first[n] + 0.1 * g
                second[n] = 0.999 * second[n] + 0.001 * g**2
                m, v = first[n] / (1 - 0.9**step), second[n] / (1 - 0.999**step)
                expected[n] -= 0.01 * m / (np.sqrt(v) + 1e-8)
        take_step(plan, network, stepper, batch, CPU)
        for found, wanted in zip(parameters(network), expected, strict=True):
            assert np.allclose(found, wanted, atol=2e-5)


def test_a_step_returns_the_loss_before_it_and_learns_from_this_batch_alone():
    plan = plan_of()
    network, stepper = begin(plan, 0, CPU)
    batch = batch_of(plan)
    before = LOSSES.load(plan.loss)(
        network(torch.from_numpy(batch.image)),
        torch.from_numpy(batch.labels),
        torch.from_numpy(batch.weights),
    ).item()
    assert take_step(plan, network, stepper, batch, CPU) == pytest.approx(before, rel=1e-6)


def test_the_learning_rate_falls_by_a_polynomial_of_0_9_at_every_step():
    plan = plan_of(learning_rate=0.5, epochs=10, steps_per_epoch=4)
    for step, part in {0: 1.0, 10: 0.75, 20: 0.5, 39: 0.025}.items():
        assert learning_rate(plan, step) == pytest.approx(0.5 * part**0.9)


@pytest.mark.parametrize("epoch", [0, 2])
def test_each_step_has_its_own_learning_rate_and_seed_whatever_came_before(monkeypatch, epoch):
    plan = plan_of(epochs=4, steps_per_epoch=3, seed=5)
    network, stepper = begin(plan, 1, CPU)
    seen = []

    def look(plan, network, optimiser, batch, device):
        assert network.training
        seen.append((optimiser.param_groups[0]["lr"], torch.initial_seed(), batch))
        return float(batch)

    monkeypatch.setattr(loop, "take_step", look)
    network.eval()
    row = train_epoch(plan, 1, epoch, network, stepper, iter([1, 2, 6]), CPU)
    steps = range(3 * epoch, 3 * epoch + 3)
    rates, seeds, batches = zip(*seen, strict=True)
    assert rates == tuple(learning_rate(plan, step) for step in steps)
    assert seeds == tuple(5 * 1_000_003 + 10_000_019 + step for step in steps)
    assert batches == (1, 2, 6)
    assert row == {"learning_rate": rates[-1], "loss": 3.0}


def test_a_network_begins_with_weights_of_its_seed_and_fold():
    plan = plan_of()
    networks = [
        begin(p, fold, CPU)[0].state_dict()["head.weight"]
        for p, fold in [(plan, 0), (plan, 0), (plan, 1), (replace(plan, seed=7), 0)]
    ]
    first, again, *others = networks
    assert torch.equal(first, again)
    assert not any(torch.equal(first, other) for other in others)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_loss_that_is_no_finite_number_is_one_clear_line(value, monkeypatch):
    plan = plan_of()
    monkeypatch.setattr(loop, "take_step", lambda *_: float(value))
    with pytest.raises(InputError, match=f"loss became {value} in step 2; lower learning_rate"):
        train_epoch(plan, 0, 1, *begin(plan, 0, CPU), iter(range(9)), CPU)


class Known(torch.nn.Module):
    """A network that calls a pixel class 1 where the first channel is above 0, surely or hardly."""

    def __init__(self, plan):
        super().__init__()
        self.middle = tuple(
            slice(m, m + n)
            for m, n in zip(plan.geometry.margin_px, plan.tile_output_px, strict=True)
        )

    def forward(self, x):
        value = x[(slice(None), 0, *self.middle)]
        return torch.stack([-value, value, torch.full_like(value, -9)], dim=1)


def test_validation_loss_and_dice_are_those_of_numpy_over_pixels_that_count():
    plan = plan_of(classes=3, tile_px=8, validation_tiles=1000)
    rng = np.random.default_rng(0)
    pixels, truth = rng.normal(size=(1, 1, 29, 23)), rng.integers(0, 2, (1, 29, 23))
    truth[0, 20:, :5] = IGNORE
    weights = rng.uniform(0.5, 2, truth.shape).astype(np.float32)
    slide = slide_of(pixels, truth, weights)
    row = validate(plan, Known(plan), validation_tiles([slide], plan), CPU)
    seen = ((pixels - pixels.mean()) / pixels.std())[0, 0]
    truth, weights = truth[0], weights[0]
    counts = truth != IGNORE
    found = seen > 0
    for name, there, here in [("background", truth == 0, ~found), ("kind1", truth == 1, found)]:
        both = (there & here & counts).sum()
        dice = 2 * both / ((there & counts).sum() + (here & counts).sum())
        assert row[f"validation_dice_{name}"] == pytest.approx(dice)
    assert row["validation_dice_kind2"] is None  # neither there nor predicted
    assert row["validation_dice"] == row["validation_dice_kind1"]
    scores = np.exp(np.stack([-seen, seen, np.full_like(seen, -9)]))
    p = np.take_along_axis(scores, np.where(counts, truth, 0)[None], 0)[0] / scores.sum(0)
    losses, edge = [], plan.tile_output_px[0]
    for y in range(0, 29, edge):
        for x in range(0, 23, edge):
            tile = (slice(y, y + edge), slice(x, x + edge))
            losses.append(-(weights * np.log(p))[tile][counts[tile]].mean())
    assert row["validation_loss"] == pytest.approx(np.mean(losses), rel=1e-5)


def test_validation_leaves_dropout_out():
    plan = plan_of()
    network, _ = begin(replace(plan, architecture=replace(plan.architecture, dropout=0.9)), 0, CPU)
    network.train()
    slide = discs(0, "a")
    first, again = (validate(plan, network, validation_tiles([slide], plan), CPU) for _ in "12")
    assert first == again


def test_where_no_foreground_is_there_or_found_dice_is_not_measured():
    plan = plan_of(classes=3)
    slide = slide_of(np.full((1, 1, 20, 20), -1.0), np.zeros((1, 20, 20)))
    tile = next(validation_tiles([slide], plan))
    row = validate(plan, Known(plan), [replace(tile, image=tile.image - 1)], CPU)
    assert row["validation_dice"] is None and row["validation_dice_background"] == 1


SLIDES = {name: discs(seed, name) for seed, name in enumerate("abc")}


def test_the_best_epoch_is_chosen_and_its_weights_are_those_saved(monkeypatch, tmp_path):
    plan, dices, after = plan_of(epochs=4), iter([0.2, 0.9, None, 0.9 - 1e-9]), []

    def scored(plan, network, tiles, device):
        after.append(copy.deepcopy(network.state_dict()))
        return {"validation_loss": 1.0, "validation_dice": next(dices)}

    monkeypatch.setattr(loop, "validate", scored)
    train_fold(plan, 0, SLIDES, tmp_path, ORIGIN, None, CPU)
    for name, epoch in {BEST: 1, LAST: 3}.items():
        saved = load_file(tmp_path / name)
        assert all(torch.equal(saved[key], value) for key, value in after[epoch].items())
        assert not torch.equal(saved["head.weight"], after[1 - 1]["head.weight"])
    lines = (tmp_path / HISTORY).read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["epoch", "1", "2", "3", "4"]
    assert lines[3].endswith("\t1.0\t")  # what was not measured is an empty cell


def test_without_validation_the_last_epoch_is_the_best(tmp_path):
    plan = plan_of(folds=(Fold(("a", "b"), ()),))
    train_fold(plan, 0, SLIDES, tmp_path, ORIGIN, None, CPU)
    assert (tmp_path / BEST).read_bytes() == (tmp_path / LAST).read_bytes()


def test_the_order_of_slides_changes_no_byte(tmp_path):
    plan = plan_of(folds=(Fold(("a", "b"), ("c",)),), augmentation=Augmentation())
    turned = replace(plan, folds=(Fold(("b", "a"), ("c",)),))
    backwards = dict(reversed(SLIDES.items()))
    for name, one, slides in [("one", plan, SLIDES), ("other", turned, backwards)]:
        train_fold(one, 0, slides, tmp_path / name, ORIGIN, None, CPU)
    for name in (BEST, LAST, HISTORY):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_a_training_that_goes_on_ends_as_if_it_had_never_stopped(monkeypatch, tmp_path):
    slides = {name: discs(n, name) for n, name in enumerate("abc")}
    plan = plan_of(epochs=4, augmentation=Augmentation())
    dice = iter([0.9, 0.1, 0.2, 0.3] * 2)  # the first epoch is the best, and must be remembered
    monkeypatch.setattr(loop, "validate", lambda *_: {"validation_dice": next(dice)})
    train_fold(plan, 0, slides, tmp_path / "whole", ORIGIN, None, CPU)

    def stop_after_two(folder, state):
        save_checkpoint(folder, state)
        if len(state.history) == 2:
            raise KeyboardInterrupt

    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / DONE).write_text("of an earlier training")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "save_checkpoint", stop_after_two)
        train_fold(plan, 0, slides, parts, ORIGIN, None, CPU)
    assert not (parts / DONE).exists()
    train_fold(plan, 0, slides, parts, ORIGIN, read_checkpoint(parts), CPU)
    for name in (BEST, LAST, HISTORY, DONE):
        assert (parts / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_later_fold_learns_from_its_own_slides_in_its_own_order_of_tiles(monkeypatch, tmp_path):
    plan = plan_of(epochs=1, folds=(Fold(("a",), ("b",)), Fold(("c", "b"), ("a",))))
    learnt, judging = [], []

    def sampler(slides, plan, fold):
        learnt.append(([slide.image.name for slide in slides], fold))
        return TileSampler(slides, plan, fold)

    def tiles(slides, plan):
        judging.append([slide.image.name for slide in slides])
        return validation_tiles(slides, plan)

    monkeypatch.setattr(loop, "TileSampler", sampler)
    monkeypatch.setattr(loop, "validation_tiles", tiles)
    train_fold(plan, 1, SLIDES, tmp_path, ORIGIN, None, CPU)
    assert (learnt, judging) == ([(["b", "c"], 1)], [["a"]])
    assert read_checkpoint(tmp_path).fold == json.loads((tmp_path / DONE).read_text())["fold"] == 1


def test_in_bf16_a_network_runs_so_and_its_loss_is_that_of_float32(monkeypatch):
    plan, seen = plan_of(), []

    def loss(logits, labels, weights):
        seen.append(logits.detach())
        return logits.sum()

    monkeypatch.setattr(loop, "LOSSES", SimpleNamespace(load=lambda name: loss))
    take_step(plan, *begin(plan, 0, CPU), batch_of(plan), replace(CPU, precision="bf16"))
    assert seen[0].dtype == torch.float32
    assert torch.equal(seen[0], seen[0].bfloat16().float())


def test_seconds_of_all_epochs_are_summed_up_over_interruptions_of_one_training_alone(
    monkeypatch, tmp_path
):
    def stop_in_the_third(plan, fold, epoch, *others):
        if epoch == 2:
            raise KeyboardInterrupt
        return train_epoch(plan, fold, epoch, *others)

    plan = plan_of(epochs=3)
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=count(0, 10).__next__))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "train_epoch", stop_in_the_third)
        train_fold(plan, 0, SLIDES, tmp_path, ORIGIN, None, CPU)
    assert read_run_log(tmp_path)["seconds"] == 20.0
    for state in (read_checkpoint(tmp_path), None):
        monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=count(0, 10).__next__))
        train_fold(plan, 0, SLIDES, tmp_path, ORIGIN, state, CPU)
        assert read_run_log(tmp_path)["seconds"] == 30.0


def test_a_training_that_begins_again_leaves_nothing_to_go_on_from_of_the_one_before(
    monkeypatch, tmp_path
):
    train_fold(plan_of(epochs=1), 0, SLIDES, tmp_path, ORIGIN, None, CPU)
    assert read_checkpoint(tmp_path) is not None
    monkeypatch.setattr(loop, "take_step", lambda *_: float("nan"))
    with pytest.raises(InputError, match="loss became nan"):
        train_fold(plan_of(seed=1), 0, SLIDES, tmp_path, ORIGIN, None, CPU)
    assert read_checkpoint(tmp_path) is None and not list(tmp_path.glob("checkpoint*"))
    assert not (tmp_path / DONE).exists()


def test_validation_slides_are_not_learnt_from(tmp_path):
    plan = plan_of(folds=(Fold(("a",), ("b",)),))
    other = {**SLIDES, "b": SLIDES["c"]}
    train_fold(plan, 0, SLIDES, tmp_path / "one", ORIGIN, None, CPU)
    train_fold(plan, 0, other, tmp_path / "other", ORIGIN, None, CPU)
    assert (tmp_path / "one" / LAST).read_bytes() == (tmp_path / "other" / LAST).read_bytes()
    assert (tmp_path / "one" / HISTORY).read_bytes() != (tmp_path / "other" / HISTORY).read_bytes()


def test_discs_in_noise_are_found_after_a_moment_of_training(tmp_path):
    plan = plan_of(
        width=4,
        norm="batch",
        tile_px=32,
        epochs=4,
        steps_per_epoch=30,
        loss="cross_entropy_dice",
        augmentation=Augmentation(elastic_px=2.0),
    )
    train_fold(plan, 0, SLIDES, tmp_path, ORIGIN, None, CPU)
    header, *rows = [row.split("\t") for row in (tmp_path / HISTORY).read_text().splitlines()]
    dice = [float(row[header.index("validation_dice")]) for row in rows]
    assert max(dice) > 0.9  # 0.947 here
