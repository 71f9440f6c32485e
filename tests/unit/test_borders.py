"""The border term of the weight map, against one distance transform per cell."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from overtile.geometry.borders import (
    border_weights,
    class_weights,
    halo_px,
    nearest_two_distances,
    reach_px,
)


def slow_border_weights(instances, w0, sigma_px, spacing):
    """Equation 2 of the U-Net paper, word for word: every distance over the whole picture."""
    cells = [i for i in np.unique(instances) if i]
    if len(cells) < 2:
        return np.zeros(instances.shape)
    distances = np.sort(
        [ndimage.distance_transform_edt(instances != i, sampling=spacing) for i in cells], axis=0
    )
    return w0 * np.exp(-((distances[0] + distances[1]) ** 2) / (2 * sigma_px**2))


def assert_same_border(instances, w0, sigma_px, spacing):
    """Equal within 1e-5 where the term is kept, and 0 where it is below 1e-6 of its height."""
    slow = slow_border_weights(instances, w0, sigma_px, spacing)
    fast = border_weights(instances, w0, sigma_px, spacing)
    kept = slow > 1.0001e-6 * w0
    np.testing.assert_allclose(fast[kept], slow[kept], rtol=1e-5)
    assert (fast[slow < 0.9999e-6 * w0] == 0).all()
    assert fast.dtype == np.float32


@given(
    arrays(
        np.uint16, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.integers(0, 3)
    ),
    st.sampled_from([0.5, 1.0, 2.5]),
)
@settings(max_examples=60, deadline=None)
def test_windows_give_what_whole_pictures_give(instances, sigma_px):
    assert_same_border(instances, 10.0, sigma_px, (1.0, 1.0))


@given(
    arrays(np.uint8, st.tuples(*[st.integers(1, 7)] * 3), elements=st.integers(0, 3)),
    st.sampled_from([(1.0, 1.0, 1.0), (3.0, 1.0, 1.0), (2.5, 1.0, 1.25)]),
)
@settings(max_examples=40, deadline=None)
def test_distances_in_a_volume_obey_its_spacing(instances, spacing):
    assert_same_border(instances, 10.0, 1.5, spacing)


def test_far_cells_in_a_large_picture_are_cut_out_by_windows_without_a_difference():
    instances = np.zeros((90, 120), dtype=np.uint32)
    for number, (y, x) in enumerate([(0, 0), (3, 9), (40, 60), (44, 71), (89, 119)], start=7):
        instances[y : y + 6, x : x + 6] = number
    assert_same_border(instances, 10.0, 2.0, (1.0, 1.0))


def test_one_row_between_two_cells_has_the_weight_of_the_formula():
    instances = np.array([[1, 1, 0, 2]])
    sums = np.array([0 + 3, 0 + 2, 1 + 1, 2 + 0])
    expected = 10 * np.exp(-(sums**2) / (2 * 5.0**2))
    np.testing.assert_allclose(border_weights(instances, 10, 5, (1, 1))[0], expected, rtol=1e-6)


def test_touching_cells_weigh_most_along_their_seam():
    instances = np.repeat([[1, 1, 1, 2, 2, 2]], 3, axis=0)
    weights = border_weights(instances, 10, 1, (1, 1))
    np.testing.assert_allclose(weights[1], 10 * np.exp(-np.array([9, 4, 1, 1, 4, 9]) / 2))


@pytest.mark.parametrize("cells", [[], [5]])
def test_fewer_than_two_cells_have_no_border(cells):
    instances = np.zeros((6, 6), dtype=np.uint8)
    for cell in cells:
        instances[2:4, 2:4] = cell
    assert not border_weights(instances, 10, 5, (1, 1)).any()


def test_a_cell_in_two_pieces_is_no_neighbour_of_itself():
    assert not border_weights(np.array([[4, 0, 4]]), 10, 5, (1, 1)).any()


def test_a_picture_without_background_counts_its_lowest_id_too():
    assert_same_border(np.array([[3, 3, 9, 9]]), 10.0, 5.0, (1.0, 1.0))


def test_distances_beyond_the_reach_are_infinite():
    nearest, second = nearest_two_distances(np.array([[1, 0, 0, 0, 0, 2]]), (1, 1), reach=3.0)
    np.testing.assert_array_equal(nearest, [[0, 1, 2, 2, 1, 0]])
    np.testing.assert_array_equal(second, [[np.inf, np.inf, 3, 3, np.inf, np.inf]])


@pytest.mark.parametrize("sigma_px", [0.5, 3, 5])
def test_beyond_the_reach_the_term_is_below_a_millionth(sigma_px):
    assert np.exp(-(reach_px(sigma_px) ** 2) / (2 * sigma_px**2)) == pytest.approx(1e-6)


def test_the_halo_is_the_reach_in_pixels_of_each_axis():
    reach = reach_px(5)
    for halo, spacing in zip(halo_px(5, (12.5, 1.0, 1.0)), (12.5, 1.0, 1.0), strict=True):
        assert reach <= halo * spacing < reach + 2 * spacing


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=5).filter(any))
def test_class_weights_balance_all_present_classes_at_a_mean_of_one(counts):
    weights = class_weights(counts)
    shares = [w * n for w, n in zip(weights, counts, strict=True) if n]
    np.testing.assert_allclose(shares, shares[0])
    assert sum(shares) / sum(counts) == pytest.approx(1)
    assert all(w == 0 for w, n in zip(weights, counts, strict=True) if n == 0)


def test_real_nuclei_get_the_weights_of_the_formula(data):
    import tifffile

    masks = sorted((data / "nuclei_dsb2018" / "fluo" / "label").iterdir())
    instances = tifffile.imread(masks[0])[:200, :200]
    assert len(np.unique(instances)) > 3
    assert_same_border(instances, 10.0, 5.0, (1.0, 1.0))
