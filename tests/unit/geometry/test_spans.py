"""Tiles and blocks cover a picture exactly once, and reads past its border are mirrored."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overtile.geometry.spans import (
    Block,
    halve,
    mirror_indices,
    plan_blocks,
    plan_spans,
    planes,
    read_clipped,
    read_mirrored,
)

edges = st.integers(1, 9)
SHAPES = st.tuples(edges, edges, edges)


@given(st.integers(1, 500), st.integers(1, 64), st.integers(0, 32))
def test_every_pixel_is_kept_exactly_once(length, tile, halo):
    kept = [x for span in plan_spans(length, tile, halo) for x in range(*span.keep)]
    assert kept == list(range(length))


@given(st.integers(1, 500), st.integers(1, 64), st.integers(0, 32))
def test_every_read_is_a_tile_and_two_halos_wide_and_starts_a_halo_before_what_is_kept(
    length, tile, halo
):
    for span in plan_spans(length, tile, halo):
        assert span.read[1] - span.read[0] == tile + 2 * halo
        assert span.keep[0] - span.read[0] == halo


@pytest.mark.parametrize(("length", "tile", "halo"), [(0, 1, 0), (1, 0, 0), (1, 1, -1)])
def test_impossible_spans_are_refused_with_their_values(length, tile, halo):
    with pytest.raises(ValueError, match=f"{length}, {tile} and {halo} px"):
        plan_spans(length, tile, halo)


@given(SHAPES, SHAPES)
def test_blocks_cover_a_picture_exactly_once_in_raster_order(shape, edge):
    covered = np.zeros(shape, dtype=int)
    blocks = plan_blocks(shape, edge)
    for block in blocks:
        covered[block.slices] += 1
        assert block.shape == covered[block.slices].shape
    assert (covered == 1).all()
    assert [b.index for b in blocks] == sorted(b.index for b in blocks)


@given(st.integers(2, 12), st.integers(0, 40), st.integers(0, 40))
def test_mirrored_indices_are_those_of_numpy_pad(length, before, after):
    padded = np.pad(np.arange(length), (before, after), mode="reflect")
    np.testing.assert_array_equal(mirror_indices(-before, length + after, length), padded)


def test_an_axis_of_one_pixel_is_repeated():
    np.testing.assert_array_equal(mirror_indices(-2, 3, 1), [0, 0, 0, 0, 0])


@given(SHAPES, st.data())
@settings(max_examples=60)
def test_a_mirrored_read_is_a_cut_out_of_the_padded_picture(shape, data):
    picture = np.arange(2 * np.prod(shape)).reshape(2, *shape)
    start = [data.draw(st.integers(-8, n + 7)) for n in shape]
    stop = [data.draw(st.integers(a + 1, n + 8)) for a, n in zip(start, shape, strict=True)]
    padded = np.pad(picture, [(0, 0), (8, 8), (8, 8), (8, 8)], mode="reflect")
    cut = tuple(slice(a + 8, b + 8) for a, b in zip(start, stop, strict=True))
    np.testing.assert_array_equal(
        read_mirrored(picture, start, stop, (slice(None),)), padded[(slice(None), *cut)]
    )
    np.testing.assert_array_equal(read_mirrored(picture, start, stop, (1,)), padded[(1, *cut)])


@given(SHAPES, SHAPES, st.tuples(*[st.integers(0, 4)] * 3))
@settings(max_examples=60)
def test_a_clipped_read_holds_the_block_and_what_lies_within_the_halo(shape, edge, halo):
    picture = np.arange(np.prod(shape)).reshape(shape)
    places = np.stack(np.indices(shape))
    for block in plan_blocks(shape, edge):
        part, inner = read_clipped(picture, block, halo)
        np.testing.assert_array_equal(part[inner], picture[block.slices])
        lower = np.reshape(np.subtract(block.start, halo), (3, 1, 1, 1))
        upper = np.reshape(np.add(block.stop, halo), (3, 1, 1, 1))
        near = ((places >= lower) & (places < upper)).all(axis=0)
        np.testing.assert_array_equal(part.ravel(), picture[near])


def test_a_stack_falls_into_planes_for_a_flat_network_and_stays_whole_for_a_deep_one():
    stack = np.arange(12).reshape(2, 2, 3)
    assert [stack[piece].tolist() for piece in planes(stack.shape, 2)] == [
        [[[0, 1, 2], [3, 4, 5]]],
        [[[6, 7, 8], [9, 10, 11]]],
    ]
    assert [stack[piece].shape for piece in planes(stack.shape, 3)] == [(2, 2, 3)]


@given(SHAPES, st.tuples(*[st.integers(1, 3)] * 3))
def test_a_halved_shape_is_that_of_every_second_pixel(shape, factors):
    picture = np.zeros(shape)
    thinned = picture[tuple(slice(None, None, f) for f in factors)]
    assert halve(shape, factors) == thinned.shape


def test_a_block_knows_its_place():
    block = Block(index=(0, 1), start=(0, 4), stop=(3, 6))
    assert block.shape == (3, 2)
    assert block.slices == (slice(0, 3), slice(4, 6))
