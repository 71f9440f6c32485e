"""The sum of the distances to the two nearest cells: as defined, and to the bit wherever it is."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from overtile.geometry.borders import halo_px
from overtile.geometry.two_nearest import LINES, two_nearest_sum
from tests.examples import examples
from tests.unit import naive

FAR = 1e6
"""A reach beyond every picture here."""

ROUNDING = 1e-7
"""Squared edges and sums are float32: 2^-25 + 2^-24 of the value; twice that beside the reach."""


def assert_as_defined(instances, spacing, reach=FAR):
    """Equal to the definition but for rounding, and inf beyond reach."""
    slow = naive.two_nearest_sum(instances, spacing)
    fast = two_nearest_sum(instances, spacing, reach)
    assert (fast.dtype, fast.shape) == (np.float32, instances.shape)
    within = slow < reach * (1 - ROUNDING)
    np.testing.assert_allclose(fast[within], slow[within], rtol=ROUNDING)
    assert np.isinf(fast[slow > reach * (1 + 2 * ROUNDING)]).all()


def reach_of(spacing, in_edges):
    """A reach of some of the mean edges."""
    return in_edges * float(np.mean(spacing))


reaches = st.sampled_from([0.9, 2.0, 3.7, 9.0, 1e5])
seeds = st.integers(0, 2**32 - 1)
many = settings(max_examples=examples(300), deadline=None)
some = settings(max_examples=examples(100), deadline=None)


@given(naive.spaced_labels(), reaches)
@many
def test_sums_are_those_of_one_distance_transform_per_cell(case, in_edges):
    instances, spacing = case
    assert_as_defined(instances, spacing, reach_of(spacing, in_edges))


@given(st.one_of(*(naive.labels(lengths) for lengths in naive.LENGTHS.values())))
@some
def test_with_edges_of_one_sums_are_exact_to_the_last_bit(instances):
    spacing = (1.0,) * instances.ndim
    expected = naive.two_nearest_sum(instances, spacing).astype(np.float32)
    np.testing.assert_array_equal(two_nearest_sum(instances, spacing, FAR), expected)


@given(naive.spaced_labels(), reaches, st.data())
@some
def test_the_rest_of_a_larger_empty_picture_changes_no_bit(case, in_edges, data):
    instances, spacing = case
    reach = reach_of(spacing, in_edges)
    pads = [data.draw(st.tuples(*[st.integers(0, 20)] * 2)) for _ in spacing]
    inside = tuple(slice(a, a + n) for (a, _), n in zip(pads, instances.shape, strict=True))
    moved = two_nearest_sum(np.pad(instances, pads), spacing, reach)[inside]
    assert moved.tobytes() == two_nearest_sum(instances, spacing, reach).tobytes()


@given(naive.spaced_labels(), reaches, seeds)
@some
def test_other_numbers_for_the_same_cells_change_no_bit(case, in_edges, seed):
    instances, spacing = case
    reach = reach_of(spacing, in_edges)
    ids = np.random.default_rng(seed).choice(
        np.array([1, 2, 7, 2**32, 2**32 + 1, 2**40 + 1, 2**63, 2**63 + 1, 2**64 - 1], np.uint64),
        instances.max() + 1,
        replace=False,
    )
    ids[0] = 0
    renumbered = two_nearest_sum(ids[instances], spacing, reach)
    assert renumbered.tobytes() == two_nearest_sum(instances, spacing, reach).tobytes()


@given(naive.spaced_labels(), reaches, st.data())
@some
def test_flips_and_swapped_axes_change_no_bit(case, in_edges, data):
    instances, spacing = case
    reach = reach_of(spacing, in_edges)
    order = data.draw(st.sampled_from(list(permutations(range(instances.ndim)))))
    flips = tuple(slice(None, None, data.draw(st.sampled_from([1, -1]))) for _ in order)
    turned = two_nearest_sum(
        instances.transpose(order)[flips], [spacing[axis] for axis in order], reach
    )
    expected = two_nearest_sum(instances, spacing, reach).transpose(order)[flips]
    assert turned.tobytes() == expected.tobytes()


def smallest_reach(instances, spacing):
    """The smallest float64 within which two cells find each other."""
    low, high = 0.0, 4 * sum(spacing) * max(instances.shape)
    while low < (middle := (low + high) / 2) < high:
        is_within = np.isfinite(two_nearest_sum(instances, spacing, middle)).any()
        low, high = (low, middle) if is_within else (middle, high)
    return high


@given(st.tuples(*[st.floats(0.1, 30)] * 3), st.sampled_from([(1, 1, 1), (3, 1, 2), (2, 5, 1)]))
@some
def test_squares_are_summed_without_rounding_so_that_axes_may_be_taken_in_any_order(edges, step):
    instances = np.zeros([n + 1 for n in step], dtype=np.uint8)
    instances[0, 0, 0], instances[-1, -1, -1] = 1, 2
    found = {
        smallest_reach(instances.transpose(order), [edges[axis] for axis in order])
        for order in permutations(range(3))
    }
    assert len(found) == 1


@given(naive.spaced_labels(), reaches, st.data())
@many
def test_a_block_with_its_halo_has_the_bits_of_the_whole(case, in_edges, data):
    instances, spacing = case
    reach = reach_of(spacing, in_edges)
    read, keep, inside = [], [], []
    for n, halo in zip(instances.shape, halo_px(reach, spacing), strict=True):
        start = data.draw(st.integers(0, n - 1))
        stop = data.draw(st.integers(start + 1, n))
        first = max(0, start - halo)
        read.append(slice(first, stop + halo))
        keep.append(slice(start, stop))
        inside.append(slice(start - first, stop - first))
    block = two_nearest_sum(instances[tuple(read)], spacing, reach)[tuple(inside)]
    expected = two_nearest_sum(instances, spacing, reach)[tuple(keep)]
    assert block.tobytes() == expected.tobytes()


@pytest.mark.parametrize("edge", [1.0, 0.5, 0.1, 2.3, 12.5])
def test_a_cell_at_the_end_of_the_halo_counts_and_one_behind_it_does_not(edge):
    for distance in range(1, 60):
        reach = distance * edge * (1 + ROUNDING)
        (halo,) = halo_px(distance * edge, (edge,))
        assert halo >= distance
        instances = np.zeros((1, 70), dtype=np.uint8)
        instances[0, 0], instances[0, distance] = 1, 2
        sums = two_nearest_sum(instances, (edge, edge), reach)
        assert sums[0, 0] == pytest.approx(distance * edge)
        instances[0, distance], instances[0, distance + 1] = 0, 2
        assert np.isinf(two_nearest_sum(instances, (edge, edge), reach)).all()


@given(st.integers(1, 3), st.integers(100, 700), st.integers(2, 9), seeds, reaches)
@example(3, 700, 4, 0, 1e5)
@example(3, 700, 2, 1, 1e5)
@some
def test_few_cells_on_long_lines_are_found_from_afar(rows, length, count, seed, in_edges):
    random = np.random.default_rng(seed)
    instances = np.zeros((rows, length), dtype=np.uint16)
    places = random.choice(instances.size, count, replace=False)
    instances.flat[places] = random.integers(1, count + 1, count)
    assert_as_defined(instances, (1.5, 0.7), in_edges)
    assert_as_defined(instances.T, (0.7, 1.5), in_edges)


@pytest.mark.parametrize(
    "shape",
    [(LINES, LINES), (LINES + 1, LINES - 1), (2, 2 * LINES + 1), (3 * LINES, 2), (1, 1), (1, 50)]
    + [(50, 1), (LINES + 1, 3, 2 * LINES + 1), (1, LINES + 1, 1), (2, 1, 40), (40, 1, 1)],
)
def test_every_pixel_may_be_a_cell_of_its_own(shape):
    instances = np.random.default_rng(3).integers(0, 40, shape)
    assert_as_defined(instances, (2.5, 1.0, 1.25)[-len(shape) :])
    if instances.size < 500:
        instances = np.arange(1, instances.size + 1).reshape(shape)
        assert_as_defined(instances, (2.5, 1.0, 1.25)[-len(shape) :])


def test_cells_within_cells_and_in_pieces_are_told_apart():
    y, x = np.mgrid[-20:21, -20:21]
    radius = np.maximum(abs(y), abs(x))
    rings = np.select([radius < 3, (radius > 6) & (radius < 9), radius == 15], [7, 2, 300])
    comb = np.where(x % 4 == 0, 1, np.where((x % 4 == 2) & (y > 0), 2, 0))
    for instances in (rings, comb, np.hstack([rings, comb])):
        for reach in (4.0, FAR):
            assert_as_defined(instances, (1.0, 1.25), reach)


def test_a_sum_that_equals_the_reach_is_within_it():
    instances = np.array([[1, 0, 0, 0, 0, 2, 0]])
    np.testing.assert_array_equal(
        two_nearest_sum(instances, (1, 1), reach=5.0), [[5, 5, 5, 5, 5, 5, np.inf]]
    )
    assert np.isinf(two_nearest_sum(instances, (1, 1), reach=4.999)).all()


def test_both_distances_within_reach_do_not_make_their_sum_so():
    instances = np.array([[1, 0, 0, 0, 0, 0, 2], [0] * 7, [0] * 7, [1, 0, 0, 0, 0, 0, 2]])
    sums = two_nearest_sum(instances, (1, 1), reach=6.0)
    np.testing.assert_array_equal(
        np.isinf(sums), [[False] * 7, [True] * 7, [True] * 7, [False] * 7]
    )


def test_the_picture_itself_stays_as_it_was():
    for dtype in (np.uint32, np.uint64, np.int16):
        instances = np.array([[1, 0, 2], [0, 3, 0]], dtype=dtype)
        before = instances.copy()
        two_nearest_sum(instances, (1, 1), FAR)
        np.testing.assert_array_equal(instances, before)


def test_a_line_before_leaves_no_trace_on_the_next_one():
    cells = np.zeros((9, 40), dtype=np.uint32)
    cells[0, ::3] = 1 + np.arange(14) % 5
    cells[8, 20] = 9
    for reach in (2.0, 4.5, FAR):
        assert_as_defined(cells, (1.0, 1.0), reach)
        assert_as_defined(cells.T, (1.0, 1.0), reach)
