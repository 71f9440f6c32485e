"""Means over slides and their intervals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overtile.metrics.statistics import Estimate, estimate


def test_missing_values_leave_the_mean_alone_and_are_counted():
    found = estimate([None, 0.25, 0.75, None])
    assert (found.mean, found.n, found.missing) == (0.5, 2, 2)
    assert found.low is found.high is None


def test_no_value_at_all_has_no_mean():
    assert estimate([None]) == Estimate(None, None, None, 0, 1)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=3, max_size=30))
def test_the_interval_holds_the_mean_inside_the_values_range(values):
    found = estimate(values)
    slack = 1e-12
    assert min(values) - slack <= found.low <= found.mean + slack
    assert found.mean - slack <= found.high <= max(values) + slack
    assert found == estimate(values)


def test_the_interval_narrows_like_the_standard_error():
    values = np.random.default_rng(0).normal(0.5, 0.1, 400).tolist()
    found = estimate(values)
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.1 / 20, rel=0.15)
