"""Chunks and shards fit each other and the picture; pyramids end."""

from math import ceil, prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overtile.stores.layout import MAX_SHARDS, chunk_and_shard, pyramid_factors

shapes = st.tuples(
    st.one_of(st.just(1), st.integers(1, 5000)), st.integers(1, 300_000), st.integers(1, 300_000)
)
sizes = st.tuples(*[st.floats(0.001, 1000)] * 3)


@given(shapes)
def test_a_shard_is_a_whole_number_of_chunks_and_a_chunk_no_larger_than_the_picture(shape):
    chunk, shard = chunk_and_shard(shape)
    assert all(s % c == 0 for s, c in zip(shard, chunk, strict=True))
    assert all(1 <= c <= n for c, n in zip(chunk, shape, strict=True))
    assert all(s < n + c for s, c, n in zip(shard, chunk, shape, strict=True))


@given(shapes)
def test_no_array_makes_more_files_than_allowed(shape):
    _, shard = chunk_and_shard(shape)
    assert prod(ceil(n / s) for n, s in zip(shape, shard, strict=True)) <= MAX_SHARDS


@given(shapes, sizes)
def test_every_level_is_smaller_than_the_one_above_and_the_last_fits_a_screen(shape, size):
    above = shape
    for factors, level in pyramid_factors(shape, size):
        assert set(factors) <= {1, 2}
        assert prod(level) < prod(above)
        assert level == tuple(ceil(n / f) for n, f in zip(above, factors, strict=True))
        above = level
    assert max(above[1:]) <= 256


@pytest.mark.parametrize("size", [(1.0, 1.0, 1.0), (1.0, 0.5, 1.0), (1.0, 1.0, 100.0)])
def test_a_long_narrow_strip_has_a_pyramid_too(size):
    levels = [level for _, level in pyramid_factors((1, 20, 1000), size)]
    assert levels == [(1, 20, 500), (1, 20, 250)]


def test_a_coarse_axis_waits_until_the_fine_ones_have_caught_up():
    levels = pyramid_factors((64, 1024, 1024), (2.0, 1.0, 1.0))
    assert levels == [((1, 2, 2), (64, 512, 512)), ((2, 2, 2), (32, 256, 256))]


def test_a_small_picture_has_no_pyramid_and_one_shard():
    assert pyramid_factors((1, 256, 200), (1.0, 1.0, 1.0)) == []
    assert chunk_and_shard((1, 100, 200)) == ((1, 100, 200), (1, 100, 200))


def test_a_slide_of_100_000_pixels_keeps_shards_of_few_hundred_files():
    chunk, shard = chunk_and_shard((1, 100_000, 100_000))
    assert chunk == (1, 256, 256)
    assert shard == (1, 8192, 8192)
