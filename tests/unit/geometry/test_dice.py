"""Dice of classes and their mean: the conventions that every user of them shares."""

import numpy as np
import pytest

from overtile.geometry.dice import class_dice, foreground_mean


def test_dice_is_twice_the_overlap_over_both_sizes():
    reference = np.array([0, 0, 1, 1, 1, 2, 2, 0])
    found = np.array([0, 1, 1, 1, 0, 2, 0, 0])
    confusion = np.zeros((3, 3), np.int64)
    np.add.at(confusion, (reference, found), 1)
    expected = [
        2 * ((reference == c) & (found == c)).sum() / ((reference == c).sum() + (found == c).sum())
        for c in range(3)
    ]
    assert class_dice(confusion) == pytest.approx(expected)


def test_a_class_in_neither_picture_is_not_measured():
    assert class_dice(np.array([[5, 0, 0], [0, 3, 0], [0, 0, 0]])) == [1.0, 1.0, None]


def test_a_class_that_is_missed_or_made_up_scores_zero():
    assert class_dice(np.array([[5, 0, 2], [3, 0, 0], [0, 0, 0]]))[1:] == [0.0, 0.0]


def test_the_mean_leaves_out_the_background_and_what_was_not_measured():
    assert foreground_mean([0.99, 0.5, None, 0.7]) == pytest.approx(0.6)
    assert foreground_mean([0.99, None]) is None
    assert foreground_mean([0.99, 0.0]) == 0.0
