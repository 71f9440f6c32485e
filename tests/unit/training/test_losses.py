"""Losses against NumPy."""

from typing import get_args

import numpy as np
import pytest
import torch

from overtile.settings.ranges import Loss
from overtile.training.losses import LOSSES, soft_dice, weighted_cross_entropy


def random_batch(seed=0, classes=3, shape=(2, 4, 5)):
    """Logits, labels and weights, some of them 0, as tensors."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(shape[0], classes, *shape[1:]))
    weights = rng.uniform(0.1, 3, shape) * (rng.random(shape) < 0.7)
    labels = rng.integers(0, classes, shape)
    return (
        torch.from_numpy(logits.astype(np.float32)),
        torch.from_numpy(labels),
        torch.from_numpy(weights.astype(np.float32)),
    )


def naive_cross_entropy(logits, labels, weights) -> float:
    """Of each pixel that counts, one by one."""
    logits, labels, weights = (t.numpy().astype(float) for t in (logits, labels, weights))
    total, count = 0.0, 0
    for place in np.ndindex(labels.shape):
        scores = logits[(place[0], slice(None), *place[1:])]
        p = np.exp(scores) / np.exp(scores).sum()
        total -= weights[place] * np.log(p[int(labels[place])])
        count += weights[place] > 0
    return total / max(count, 1)


def naive_soft_dice(logits, labels, weights) -> float:
    """Class by class."""
    logits, labels, weights = (t.numpy().astype(float) for t in (logits, labels, weights))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    counts = weights > 0
    scores = []
    for c in range(p.shape[1]):
        there = (labels == c)[counts]
        found = p[:, c][counts]
        scores.append((2 * (there * found).sum() + 1) / (there.sum() + found.sum() + 1))
    return 1 - np.mean(scores)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape", [(2, 4, 5), (1, 3, 4, 2)])
def test_losses_are_those_of_numpy(seed, shape):
    batch = random_batch(seed, 4, shape)
    assert weighted_cross_entropy(*batch).item() == pytest.approx(
        naive_cross_entropy(*batch), rel=1e-5
    )
    assert soft_dice(*batch).item() == pytest.approx(naive_soft_dice(*batch), rel=1e-5)


def test_a_plan_names_its_loss():
    batch = random_batch()
    first, second = weighted_cross_entropy(*batch), soft_dice(*batch)
    assert torch.equal(LOSSES.load("cross_entropy")(*batch), first)
    assert torch.equal(LOSSES.load("cross_entropy_dice")(*batch), first + second)
    assert set(LOSSES) == set(get_args(Loss))


def test_a_batch_without_a_pixel_that_counts_costs_nothing():
    logits, labels, weights = random_batch()
    for loss in (weighted_cross_entropy, soft_dice):
        assert loss(logits, labels, 0 * weights).item() == 0


def test_the_background_is_averaged_into_soft_dice():
    _, labels, weights = random_batch(classes=2)
    sure = 50.0 * torch.nn.functional.one_hot(1 - labels, 2).movedim(-1, 1).float()
    counted = (weights > 0).sum().item()
    assert soft_dice(sure, labels, weights).item() == pytest.approx(1 - 1 / (counted + 1))


def test_a_class_neither_there_nor_predicted_costs_nothing_and_one_predicted_does():
    labels = torch.zeros(1, 8, 8, dtype=torch.int64)
    labels[0, :4] = 1
    weights = torch.ones(1, 8, 8)
    right = 50.0 * torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()
    assert soft_dice(right, labels, weights).item() == pytest.approx(0, abs=1e-6)
    wrong = right.clone()
    wrong[:, 2, 6:] = 100.0
    assert soft_dice(wrong, labels, weights).item() > 0.4
