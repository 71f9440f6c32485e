"""Gaps between objects are closed as defined, and the same from every block."""

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from overtile.geometry.borders import separate
from overtile.geometry.gaps import close_gaps, halo_px
from overtile.geometry.symmetry import symmetries
from overtile.geometry.two_nearest import two_nearest_sum, two_nearest_sum_and_nearest
from tests.examples import examples
from tests.unit import naive, naive_objects

crowded = st.one_of(
    naive.labels([(1, 2, 9, 17, 21)] * 2, most_cells=9), naive.labels([(1, 3, 6, 8)] * 3)
)
gaps = st.sampled_from([1, 2, 3, 6])


@given(crowded, gaps)
@settings(max_examples=examples(150), deadline=None)
def test_gaps_go_step_by_step_to_the_nearest_object_as_defined(instances, border_px):
    instances = instances.astype(np.uint32)
    found = close_gaps(instances, border_px)
    assert found.dtype == np.uint32
    np.testing.assert_array_equal(found, naive_objects.close_gaps(instances, border_px))
    np.testing.assert_array_equal(found[instances > 0], instances[instances > 0])


@given(naive.spaced_labels(), st.sampled_from([0.9, 2.0, 3.7, 1e5]))
@settings(max_examples=examples(100), deadline=None)
def test_sums_are_the_same_to_the_bit_with_and_without_the_nearest(case, reach):
    instances, spacing = case
    sums, nearest = two_nearest_sum_and_nearest(instances, spacing, reach)
    assert sums.tobytes() == two_nearest_sum(instances, spacing, reach).tobytes()
    assert ((nearest > 0) == (sums < np.inf)).all()
    inside = (sums < np.inf) & (instances > 0)
    np.testing.assert_array_equal(nearest[inside], instances[inside])


@given(crowded, gaps, st.data())
@settings(max_examples=examples(300), deadline=None)
def test_a_block_with_its_halo_has_the_ids_of_the_whole(instances, border_px, data):
    instances = instances.astype(np.uint32)
    read, keep, inside = [], [], []
    for n in instances.shape:
        start = data.draw(st.integers(0, n - 1))
        stop = data.draw(st.integers(start + 1, n))
        first = max(0, start - halo_px(border_px))
        read.append(slice(first, stop + halo_px(border_px)))
        keep.append(slice(start, stop))
        inside.append(slice(start - first, stop - first))
    block = close_gaps(instances[tuple(read)], border_px)[tuple(inside)]
    np.testing.assert_array_equal(block, close_gaps(instances, border_px)[tuple(keep)])


def test_a_halo_of_the_gap_alone_is_not_enough():
    cells = np.array([[1, 0, 0], [0, 0, 0], [0, 0, 2], [0, 0, 0], [0, 1, 0]], np.uint32)
    assert close_gaps(cells, 2)[1, 1] == 2
    assert close_gaps(cells[:4], 2)[1, 1] == 0  # 2 px below it
    assert halo_px(2) > 2


def piece_counts(instances):
    """By object, how many face-connected pieces it has."""
    return {int(name): ndimage.label(instances == name)[1] for name in np.unique(instances) if name}


@given(crowded, gaps)
@settings(max_examples=examples(150), deadline=None)
def test_no_object_falls_into_more_pieces_and_none_loses_a_pixel(instances, border_px):
    instances = instances.astype(np.uint32)
    closed = close_gaps(instances, border_px)
    np.testing.assert_array_equal(closed[instances > 0], instances[instances > 0])
    before, after = piece_counts(instances), piece_counts(closed)
    assert all(after[name] <= before[name] for name in before)
    assert before.keys() == after.keys()


def decided_by_order(instances, closed, border_px):
    """Pixels that may be others in a picture that is turned: raster order decided near them."""
    names = np.unique(instances[instances > 0])
    squares = np.array([naive.squared_distances(instances == name) for name in names])
    one, two = np.sort(squares, axis=0)[:2]
    tie = (one == two) & (instances == 0)
    cross = ndimage.generate_binary_structure(instances.ndim, 1)
    largest = ndimage.maximum_filter(closed, footprint=cross, mode="constant")
    least = ndimage.minimum_filter(
        np.where(closed, closed, names[-1]), footprint=cross, mode="constant", cval=names[-1]
    )
    is_cut_off = (instances == 0) & (closed != names[squares.argmin(axis=0)])
    reach = 2 * halo_px(border_px) + 1
    return ndimage.maximum_filter(tie, reach) | (is_cut_off & (least < largest))


@pytest.mark.parametrize(("separate_px", "border_px"), [(1, 2), (2, 4)])
def test_turned_pictures_are_closed_alike_where_raster_order_decides_nothing(
    data, separate_px, border_px
):
    gained = compared = 0
    for path in sorted((data / "nuclei_dsb2018" / "fluo" / "label").glob("*.tif"))[:8]:
        apart = separate(tifffile.imread(path).astype(np.uint32), separate_px)
        closed = close_gaps(apart, border_px)
        is_free = ~decided_by_order(apart, closed, border_px)
        gained += (closed != apart).sum()
        compared += (closed != apart)[is_free].sum()
        for turn in symmetries("flips_and_turns", 2):
            turned = turn.undo(close_gaps(turn.apply(apart), border_px))
            np.testing.assert_array_equal(turned[is_free], closed[is_free])
    assert compared > 0.1 * gained
    assert compared > 100


def test_a_pixel_that_only_corners_of_objects_touch_stays_background():
    corners = np.array([[1, 0, 0], [0, 0, 0], [0, 0, 2]], np.uint32)
    np.testing.assert_array_equal(close_gaps(corners, 2), corners)


def test_a_pixel_that_is_cut_off_from_its_nearest_object_joins_the_one_it_shares_a_face_with():
    cut_off = np.array([[2, 1, 1, 1], [2, 0, 1, 0], [0, 0, 0, 0]], np.uint32)
    joined = np.array([[2, 1, 1, 1], [2, 1, 1, 0], [0, 1, 0, 0]], np.uint32)
    assert naive_objects.nearest_across_gaps(cut_off, 2)[2, 1] == 2
    np.testing.assert_array_equal(close_gaps(cut_off, 2), joined)


@given(crowded, gaps, st.integers(0, 2**32 - 1))
@settings(max_examples=examples(60), deadline=None)
def test_other_numbers_for_the_same_objects_change_no_border(instances, border_px, seed):
    choice = [1, 2, 7, 99, 2**32, 2**32 + 1, 2**40 + 1, 2**63, 2**63 + 1, 2**64 - 1]
    names = np.random.default_rng(seed).choice(np.array(choice, np.uint64), 10, replace=False)
    names[0] = 0
    closed = close_gaps(instances.astype(np.uint32), border_px)
    np.testing.assert_array_equal(close_gaps(names[instances], border_px), names[closed])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_middle_of_a_gap_goes_to_the_first_in_raster_order(axis):
    for first, second in ((1, 2), (2, 1)):
        row = np.array([first, 0, 0, 0, second], np.uint32)
        picture = np.moveaxis(row.reshape(5, 1, 1).repeat(3, 1).repeat(2, 2), 0, axis)
        closed = np.moveaxis(close_gaps(picture, 3), axis, 0)[:, 1, 1]
        assert closed.tolist() == [first, first, first, second, second]


def test_gaps_are_closed_up_to_their_width_and_outer_rims_stay():
    for width in range(1, 6):
        row = np.array([[0, 0, 1, *[0] * width, 2, 0, 0]], np.uint32)
        np.testing.assert_array_equal(close_gaps(row, width - 1), row)
        closed = close_gaps(row, width)[0].tolist()
        assert closed[:3] == [0, 0, 1]
        assert closed[-3:] == [2, 0, 0]
        assert 0 not in closed[2:-2]


@pytest.mark.parametrize("picture", [np.zeros((3, 4)), np.array([[0, 5, 0], [0, 5, 0]])])
def test_without_two_objects_nothing_grows(picture):
    np.testing.assert_array_equal(close_gaps(picture.astype(np.uint32), 9), picture)


@pytest.mark.parametrize("separate_px", [1, 2, 3])
def test_halves_that_were_separated_are_as_before(separate_px):
    halves = np.repeat(np.repeat([[1, 2]], 12, 1), 9, 0).astype(np.uint32)
    closed = close_gaps(separate(halves, separate_px), 2 * separate_px)
    np.testing.assert_array_equal(closed, halves)


@pytest.mark.parametrize(("stain", "least"), [("fluo", 0.965), ("color", 0.99)])
def test_real_nuclei_get_back_what_separation_has_cut_and_stay_whole(data, stain, least):
    cut = restored = wrong = 0
    for path in sorted((data / "nuclei_dsb2018" / stain / "label").glob("*.tif"))[:60]:
        labels = tifffile.imread(path).astype(np.uint32)
        apart = separate(labels, 1)
        closed = close_gaps(apart, 2)
        is_cut = (labels != apart) & np.isin(labels, apart)
        cut += is_cut.sum()
        restored += (closed == labels)[is_cut].sum()
        wrong += ((closed != labels) & (closed > 0))[is_cut].sum()
        before, after = piece_counts(apart), piece_counts(closed)
        assert all(after[name] <= before[name] for name in before)
    assert cut > 1000
    assert restored > least * cut
    assert wrong < 0.0005 * cut
