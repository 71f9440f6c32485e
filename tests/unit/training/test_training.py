"""Losses, augmentation and samples: against definitions, and repeatable."""

import numpy as np
import pytest
import torch

from overtile.errors import InputError
from overtile.planning.decisions import plan_folds
from overtile.settings.model import Augmentation
from overtile.training.augment import (
    change_intensity,
    elastic_field,
    linear_map,
    resample,
    sample_coordinates,
)
from overtile.training.losses import soft_dice, weighted_cross_entropy

NOTHING = Augmentation(0.0, 0.0, False, 0.0, 0.0, 0.0)


def random_batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 3, 4, 5, generator=generator)
    target = torch.randint(0, 3, (2, 4, 5), generator=generator)
    weights = torch.rand(2, 4, 5, generator=generator) + 0.1
    return logits, target, weights


def test_weighted_cross_entropy_is_the_papers_sum_over_pixels():
    logits, target, weights = random_batch()
    expected = 0.0
    for n in range(2):
        for y in range(4):
            for x in range(5):
                scores = logits[n, :, y, x].double().exp()
                p = scores[target[n, y, x]] / scores.sum()
                expected -= weights[n, y, x].double() * p.log()
    found = weighted_cross_entropy(logits, target, weights)
    assert found.item() == pytest.approx(expected.item() / 40, rel=1e-5)


@pytest.mark.parametrize("loss", [weighted_cross_entropy, soft_dice])
def test_ignored_pixels_change_no_loss(loss):
    logits, target, weights = random_batch()
    weights[:, 1] = 0
    before = loss(logits, target, weights)
    logits[:, :, 1] = 50 * torch.randn(2, 3, 5)
    target[:, 1] = 2 - target[:, 1]
    assert torch.equal(before, loss(logits, target, weights))


def test_soft_dice_is_zero_for_a_sure_and_right_network():
    _, target, weights = random_batch()
    logits = 100.0 * torch.nn.functional.one_hot(target, 3).movedim(-1, 1)
    assert soft_dice(logits, target, weights).item() == pytest.approx(0, abs=1e-6)


def test_an_elastic_field_takes_its_random_vectors_at_the_grid_points():
    rng = np.random.default_rng(5)
    field = elastic_field(rng, (21, 31), (10.0, 10.0))
    drawn = np.random.default_rng(5).normal(size=(2, 3, 3)) * 10
    assert np.allclose(field[:, ::10, ::15], drawn)
    assert field.shape == (2, 21, 31)


def test_without_augmentation_a_tile_is_an_untouched_piece_of_the_slide():
    picture = np.random.default_rng(0).normal(size=(40, 50))
    rng = np.random.default_rng(1)
    places = sample_coordinates(rng, (19.5, 24.5), (10, 12), (1.0, 1.0), NOTHING)
    assert np.allclose(resample(picture, (0, 0), places, 1), picture[15:25, 19:31])
    tile = np.ones((1, 3, 3), np.float32)
    assert np.array_equal(change_intensity(rng, tile, NOTHING), tile)


def test_turns_keep_physical_lengths_where_pixels_are_not_square():
    turn = Augmentation(0.0, 180.0, True, 0.0, 0.0, 0.0)
    places = sample_coordinates(np.random.default_rng(2), (0, 0), (9, 9), (2.0, 1.0), turn)
    physical = places * np.array([2.0, 1.0])[:, None, None]
    assert np.linalg.norm(physical[:, 1:] - physical[:, :-1], axis=0) == pytest.approx(2.0)
    assert np.linalg.norm(physical[:, :, 1:] - physical[:, :, :-1], axis=0) == pytest.approx(1.0)


def test_volumes_turn_in_their_image_plane_only():
    matrix = linear_map(np.random.default_rng(3), 3, Augmentation(flips=False))
    assert np.array_equal(matrix[0], [1, 0, 0])
    assert np.allclose(matrix @ matrix.T, np.eye(3))


def test_folds_keep_groups_together_and_validate_every_slide_once():
    names = [f"s{i}" for i in range(7)]
    groups = ["a", "a", "b", "c", "c", "d", "d"]
    folds = plan_folds(names, groups, [], 3)
    validated = [name for fold in folds for name in fold.validation]
    assert sorted(validated) == names
    of = dict(zip(names, groups, strict=True))
    for fold in folds:
        assert not {of[n] for n in fold.train} & {of[n] for n in fold.validation}


def test_more_folds_than_groups_are_refused():
    with pytest.raises(InputError, match="folds: is 3, .* 2 groups; allowed: at most 2"):
        plan_folds(["x", "y", "z"], ["a", "a", "b"], [], 3)
