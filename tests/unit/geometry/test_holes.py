"""Holes of one object are found whatever the blocks, and nothing else is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overtile.geometry.holes import HoleFinder, label_background
from overtile.geometry.spans import plan_blocks
from tests.examples import examples
from tests.unit import naive_objects as naive


def fill(ids, most_px, edge):
    """Ids (z, y, x) with their holes filled, block by block."""

    def read(block):
        return ids[tuple(slice(a, b + 1) for a, b in zip(block.start, block.stop, strict=True))]

    blocks = plan_blocks(ids.shape, edge)
    finder = HoleFinder(ids.shape, most_px)
    for block in blocks:
        finder.add(block, read(block))
    owners = finder.owners()
    result = ids.copy()
    for block in blocks:
        found = owners[block.index][label_background(read(block))]
        result[block.slices] += found[tuple(slice(n) for n in block.shape)].astype(ids.dtype)
    return result


@st.composite
def pictures(draw):
    """Few objects with many gaps, of one plane or several."""
    depth = draw(st.sampled_from([1, 1, 3, 5]))
    shape = (depth, draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    names = rng.integers(1, draw(st.sampled_from([2, 3, 9])), shape)
    empty = rng.random(shape) < draw(st.sampled_from([0.05, 0.1, 0.2, 0.4, 0.7]))
    return np.where(empty, 0, names).astype(np.uint32)


@given(pictures(), st.sampled_from([1, 2, 4, 99]), st.tuples(*[st.integers(1, 9)] * 3))
@settings(max_examples=examples(400), deadline=None)
def test_blocks_of_any_size_find_the_holes_of_the_whole(ids, most_px, edge):
    np.testing.assert_array_equal(fill(ids, most_px, edge), naive.fill_holes(ids, most_px))


RING = np.array(
    [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 0],
        [0, 1, 0, 0, 1, 0],
        [0, 1, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 0],
    ],
    np.uint32,
)[None]
EDGES = [(1, 9, 9), (1, 1, 1), (1, 3, 3), (1, 2, 4)]


@pytest.mark.parametrize("edge", EDGES)
def test_a_hole_is_filled_up_to_its_size(edge):
    np.testing.assert_array_equal(fill(RING, 1, edge), RING)
    filled = RING.copy()
    filled[0, 2, 2:4] = 1
    np.testing.assert_array_equal(fill(RING, 2, edge), filled)


@pytest.mark.parametrize("edge", EDGES)
def test_what_lies_at_the_border_of_the_picture_is_no_hole(edge):
    for cut in (np.s_[:, 2:], np.s_[:, :3], np.s_[:, :, 2:], np.s_[:, :, :4]):
        np.testing.assert_array_equal(fill(RING[cut].copy(), 99, edge), RING[cut])


@pytest.mark.parametrize("edge", EDGES)
def test_a_hole_that_leaves_by_a_corner_is_none(edge):
    open_ring = RING.copy()
    open_ring[0, 1, 1] = 0
    np.testing.assert_array_equal(fill(open_ring, 99, edge), open_ring)


@pytest.mark.parametrize("edge", EDGES)
def test_a_hole_between_two_objects_stays(edge):
    two = RING.copy()
    two[0, :, 3:] *= 7
    np.testing.assert_array_equal(fill(two, 99, edge), two)


@pytest.mark.parametrize("edge", EDGES)
def test_a_hole_with_an_object_in_it_stays_and_the_hole_of_that_one_does_not(edge):
    ids = np.zeros((1, 9, 9), np.uint32)
    ids[0, 0:9, 0:9], ids[0, 1:8, 1:8], ids[0, 2:7, 2:7], ids[0, 4, 4] = 3, 0, 5, 0
    filled = ids.copy()
    filled[0, 4, 4] = 5
    np.testing.assert_array_equal(fill(ids, 99, edge), filled)


def test_a_hole_in_each_plane_of_a_stack_is_a_tunnel():
    tube = np.repeat(RING, 4, axis=0)
    np.testing.assert_array_equal(fill(tube, 99, (2, 2, 2)), tube)
    tube[0, 2, 2:4] = tube[3, 2, 2:4] = 1
    filled = tube.copy()
    filled[:, 2, 2:4] = 1
    np.testing.assert_array_equal(fill(tube, 4, (1, 2, 3)), filled)
    np.testing.assert_array_equal(fill(tube, 3, (1, 2, 3)), tube)


@pytest.mark.parametrize("edge", [(9, 9, 9), (1, 1, 1), (2, 1, 2)])
@pytest.mark.parametrize("way_out", [(0, 1, 1), (0, 0, 1), (1, 0, 0), (0, 0, 0), (2, 2, 3)])
def test_a_hole_of_a_volume_leaves_by_a_face_an_edge_or_a_corner(edge, way_out):
    ids = np.full((4, 4, 4), 6, np.uint32)
    ids[1, 1, 1] = 0
    assert (fill(ids, 9, edge) == 6).all()
    if way_out == (2, 2, 3):
        ids[2, 2, 2] = 0
    ids[way_out] = 0
    np.testing.assert_array_equal(fill(ids, 9, edge), ids)


def test_large_numbers_stay_what_they_are():
    large = RING.astype(np.uint64) * np.uint64(2**40 + 1)
    assert fill(large, 2, (1, 2, 2))[0, 2].tolist() == [0, *[2**40 + 1] * 4, 0]


@pytest.mark.parametrize("value", [0, 4])
def test_a_picture_of_one_value_has_no_hole(value):
    ids = np.full((1, 4, 5), value, np.uint32)
    np.testing.assert_array_equal(fill(ids, 99, (1, 2, 2)), ids)
