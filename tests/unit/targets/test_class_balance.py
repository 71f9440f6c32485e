"""Rare classes weigh more, so that all classes weigh the same in total."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overtile.planning.decisions import plan_weights
from overtile.planning.plan import Weights
from overtile.targets.class_balance import class_weights


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=5).filter(any))
def test_all_present_classes_weigh_the_same_at_a_mean_of_one_per_pixel(counts):
    weights = class_weights(counts)
    shares = [w * n for w, n in zip(weights, counts, strict=True) if n]
    np.testing.assert_allclose(shares, shares[0])
    assert sum(shares) / sum(counts) == pytest.approx(1)
    assert all(w == 0 for w, n in zip(weights, counts, strict=True) if n == 0)


@pytest.mark.parametrize(
    ("counts", "weights"),
    [
        ([50, 50], [1, 1]),
        ([75, 25], [2 / 3, 2]),
        ([0, 8], [0, 1]),
        ([0, 0], [0, 0]),
        ([60, 30, 10], [5 / 9, 10 / 9, 10 / 3]),
    ],
)
def test_weights_of_a_few_pixels_are_known(counts, weights):
    assert class_weights(counts) == pytest.approx(weights)


def test_a_plan_rounds_the_class_weights_and_takes_the_rest_from_the_settings():
    settings = SimpleNamespace(w0=10.0, sigma_px=5.0, sigma_um=None, border_tolerance=1e-3)
    assert plan_weights([2, 1], settings) == Weights(
        w0=10.0, sigma_px=5.0, sigma_um=None, tolerance=1e-3, class_weights=(0.75, 1.5)
    )
    assert plan_weights([3, 4, 0], settings).class_weights == (1.166667, 0.875, 0)
