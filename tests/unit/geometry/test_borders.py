"""The border term of the weight map, against one distance transform per cell."""

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from overtile.geometry.borders import TOLERANCE, border_reach, border_weights, halo_px
from tests.examples import examples
from tests.unit import naive

RTOL = 1e-5


def assert_as_defined(instances, sigma, spacing, tolerance=TOLERANCE, w0=10.0):
    """Equal to the definition within 1e-5 where the term is kept, and 0 below the tolerance."""
    slow = naive.border_weights(instances, w0, sigma, spacing)
    fast = border_weights(instances, w0, sigma, spacing, tolerance)
    assert (fast.dtype, fast.shape) == (np.float32, instances.shape)
    kept = slow >= tolerance * w0 * (1 + RTOL)
    np.testing.assert_allclose(fast[kept], slow[kept], rtol=RTOL)
    assert not fast[slow < tolerance * w0 * (1 - RTOL)].any()
    at_edge = fast[~kept & (fast > 0)]
    np.testing.assert_allclose(at_edge, tolerance * w0, rtol=2 * RTOL)


def assert_same_bytes(one, other):
    assert one.tobytes() == other.tobytes()


tolerances = st.sampled_from([1e-6, 1e-3, 0.5])


@given(naive.spaced_labels(), st.sampled_from([0.3, 1.0, 2.5, 20.0]), tolerances)
@settings(max_examples=examples(300), deadline=None)
def test_terms_are_those_of_the_definition_and_0_below_the_tolerance(case, in_edges, tolerance):
    instances, spacing = case
    assert_as_defined(instances, in_edges * float(np.mean(spacing)), spacing, tolerance)


@given(
    naive.labels(naive.LENGTHS[3]),
    st.sampled_from([(2.5, 1, 1), (0.7, 1.1, 1), (12.5, 1, 1), (0.1, 30, 1), (1, 30, 0.1)]),
    st.sampled_from([0.5, 5.0]),
    tolerances,
)
@settings(max_examples=examples(50), deadline=None)
def test_distances_in_a_volume_obey_its_edges(instances, spacing, sigma, tolerance):
    assert_as_defined(instances, sigma, spacing, tolerance)


@given(naive.spaced_labels(), st.sampled_from([2.0**-20, 0.5, 1024.0]), tolerances)
@settings(max_examples=examples(50), deadline=None)
def test_half_or_double_units_of_sigma_and_edges_change_no_bit(case, unit, tolerance):
    instances, spacing = case
    scaled = border_weights(instances, 10, 3 * unit, [unit * e for e in spacing], tolerance)
    assert_same_bytes(scaled, border_weights(instances, 10, 3, spacing, tolerance))


@pytest.mark.parametrize("unit", [1e-6, 0.325, 1000])
def test_sigma_and_edges_may_be_in_any_unit(unit):
    instances = np.zeros((30, 40), dtype=np.uint8)
    instances[3:9, 4:11], instances[14:20, 8:16], instances[5:25, 28:39] = 1, 2, 3
    assert_as_defined(instances, 5 * unit, (1.25 * unit, unit))
    scaled = border_weights(instances, 10, 5 * unit, (1.25 * unit, unit))
    unscaled = border_weights(instances, 10, 5, (1.25, 1))
    np.testing.assert_allclose(scaled, unscaled, rtol=RTOL)


def far_cells():
    """Cells in the corners and in the middle of a large picture; most of it is far from any two."""
    instances = np.zeros((90, 120), dtype=np.uint32)
    for number, (y, x) in enumerate([(0, 0), (3, 9), (40, 60), (44, 71), (89, 119)], start=7):
        instances[y : y + 6, x : x + 6] = number
    return instances


@pytest.mark.parametrize("tolerance", [1e-6, 1e-3, 0.5])
def test_far_cells_are_cut_off_without_a_trace(tolerance):
    assert_as_defined(far_cells(), 2.0, (1.0, 1.0), tolerance)
    assert_as_defined(far_cells(), 5.0, (1.0, 2.5), tolerance)


SIGNED = [np.int16, np.int32, np.int64]
UNSIGNED = [np.uint8, np.uint16, np.uint32, np.uint64]


@pytest.mark.parametrize("dtype", SIGNED + UNSIGNED)
def test_ids_may_be_any_integers_of_any_dtype(dtype):
    limits = np.iinfo(dtype)
    ids = np.array([0, 1, 2, limits.max // 2 + 1, limits.max - 1, limits.max, limits.min], dtype)
    if limits.min == 0:
        ids = ids[:-1]
    few = np.random.default_rng(5).integers(0, len(ids), (6, 7)).repeat(3, 0).repeat(3, 1)
    sparse = np.where(np.random.default_rng(6).random((18, 21)) < 0.1, few, 0)
    for numbers in (few, sparse):
        found = border_weights(ids[numbers], 10, 2, (1, 1))
        assert_same_bytes(found, border_weights(numbers, 10, 2, (1, 1)))
        assert_as_defined(ids[numbers], 2.0, (1.0, 1.0))


def test_the_other_byte_order_means_the_same_cells():
    instances = far_cells()
    for dtype in (">u2", ">i4", ">u8"):
        found = border_weights(instances.astype(dtype), 10, 5, (1, 1))
        assert_same_bytes(found, border_weights(instances, 10, 5, (1, 1)))


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
@pytest.mark.parametrize(
    "ids", [(5, 5 + 2**32), (1, 2**40 + 1), (7, 2**32), (2**62 + 1, 2**62), (2**63 - 1, 2**32 - 1)]
)
def test_ids_that_differ_only_in_their_upper_or_lowest_bits_are_two_cells(dtype, ids):
    instances = np.array([[ids[0], ids[0], 0, ids[1]]], dtype=dtype)
    assert_same_bytes(
        border_weights(instances, 10, 5, (1, 1)),
        border_weights(np.array([[1, 1, 0, 2]]), 10, 5, (1, 1)),
    )


def test_ids_above_two_to_63_are_two_cells():
    instances = np.array([[2**63 + 1, 0, 2**63 + 2, 0, 2**64 - 1]], dtype=np.uint64)
    assert_same_bytes(
        border_weights(instances, 10, 5, (1, 1)),
        border_weights(np.array([[1, 0, 2, 0, 3]]), 10, 5, (1, 1)),
    )


def test_a_mask_is_one_cell_and_has_no_border():
    mask = np.random.default_rng(0).random((20, 20)) < 0.5
    assert not border_weights(mask, 10, 5, (1, 1)).any()


def test_one_row_between_two_cells_has_the_weight_of_the_formula():
    instances = np.array([[1, 1, 0, 2]])
    sums = np.array([0 + 3, 0 + 2, 1 + 1, 2 + 0])
    expected = 10 * np.exp(-(sums**2) / (2 * 5.0**2))
    np.testing.assert_allclose(border_weights(instances, 10, 5, (1, 1))[0], expected, rtol=1e-6)


def test_touching_cells_weigh_most_along_their_seam():
    instances = np.repeat([[1, 1, 1, 2, 2, 2]], 3, axis=0)
    weights = border_weights(instances, 10, 1, (1, 1))
    np.testing.assert_allclose(
        weights[1], 10 * np.exp(-np.array([9, 4, 1, 1, 4, 9]) / 2), rtol=1e-6
    )


def test_the_weight_is_as_high_as_w0_says():
    instances = np.array([[1, 0, 2]])
    for w0 in (1e-3, 1.0, 250.0):
        expected = w0 * np.exp(-4 / 18)
        np.testing.assert_allclose(border_weights(instances, w0, 3, (1, 1)), expected, rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (6, 6), (4, 5, 6)])
@pytest.mark.parametrize("cells", [0, 1])
def test_fewer_than_two_cells_have_no_border(shape, cells):
    for share in (0.3, 1.0):
        instances = np.where(np.random.default_rng(1).random(shape) < share, 5 * cells, 0)
        weights = border_weights(instances, 10, 5, (1,) * len(shape))
        np.testing.assert_array_equal(weights, np.zeros(shape, np.float32))


def test_a_cell_in_pieces_is_no_neighbour_of_itself():
    assert not border_weights(np.array([[4, 0, 4]]), 10, 5, (1, 1)).any()
    in_pieces = np.array([[4, 0, 4, 0, 9, 0, 4]])
    assert_as_defined(in_pieces, 5.0, (1.0, 1.0))
    np.testing.assert_allclose(
        border_weights(in_pieces, 10, 5, (1, 1))[0, 1], 10 * np.exp(-((1 + 3) ** 2) / 50), rtol=1e-6
    )


def test_a_hole_is_background_between_the_cell_around_it_and_the_next_one():
    instances = np.zeros((9, 14), dtype=np.uint8)
    instances[1:8, 1:8] = 1
    instances[3:6, 3:6] = 0
    instances[1:8, 11:13] = 2
    weights = border_weights(instances, 10, 5, (1, 1))
    np.testing.assert_allclose(weights[4, 4], 10 * np.exp(-((2 + 7) ** 2) / 50), rtol=1e-6)
    assert_as_defined(instances, 5.0, (1.0, 1.0))


PICTURES = {
    "a cell in each corner": np.array([[1, 0, 0, 2], [0, 0, 0, 0], [3, 0, 0, 4]]),
    "no background": np.array([[3, 3, 9, 9], [3, 3, 9, 9], [5, 5, 5, 9]]),
    "one row": np.array([[0, 3, 3, 0, 0, 8, 0, 1, 0]]),
    "one column": np.array([[0, 3, 3, 0, 0, 8, 0, 1, 0]]).T,
    "two pixels": np.array([[6], [7]]),
    "one row of a volume": np.array([[[0, 3, 3, 0, 0, 8, 0]]]),
    "one column of a volume": np.array([[[0]], [[3]], [[3]], [[0]], [[8]]]),
    "checkers": np.indices((12, 12)).sum(axis=0) % 2 + 1,
    "a cell per pixel": np.arange(1, 145).reshape(12, 12),
    "a cell around cells": np.pad(np.diag([1, 2, 3, 4]), 2, constant_values=9),
}


@pytest.mark.parametrize("name", PICTURES)
def test_small_pictures_have_the_weights_of_the_formula(name):
    spacing = (2.5, 1.0, 1.25)[-PICTURES[name].ndim :]
    for sigma in (0.5, 5.0):
        assert_as_defined(PICTURES[name], sigma, spacing)


def test_what_a_picture_looks_like_in_memory_does_not_matter():
    instances = np.random.default_rng(2).integers(0, 4, (24, 30)).astype(np.uint32)
    volume = np.random.default_rng(2).integers(0, 4, (8, 20, 10)).astype(np.uint64)
    views = [instances.T, instances[::2, ::3], instances[::-1, 5:], np.asfortranarray(instances)]
    views += [volume.transpose(2, 0, 1), volume[:, ::-2], volume[3], volume[..., 4]]
    for view in views:
        spacing = (3.0, 1.0, 1.5)[-view.ndim :]
        found = border_weights(view, 10, 2, spacing)
        assert_same_bytes(found, border_weights(view.copy(order="C"), 10, 2, spacing))
        assert_as_defined(view, 2.0, spacing)


@pytest.mark.parametrize("sigma", [0.5, 3, 5])
@pytest.mark.parametrize("tolerance", [1e-6, 1e-3, 0.5])
def test_at_the_end_of_the_reach_the_term_is_as_small_as_the_tolerance(sigma, tolerance):
    reach = border_reach(sigma, tolerance)
    assert np.exp(-(reach**2) / (2 * sigma**2)) == pytest.approx(tolerance)


def test_the_halo_holds_the_reach_along_each_axis_and_not_a_pixel_more():
    spacing = (12.5, 1.0, 0.1)
    halo = halo_px(26.3, spacing)
    assert halo == (3, 27, 263)
    assert all(isinstance(n, int) for n in halo)
    assert halo_px(4.0, (2.0, 1.0)) == (2, 4)


@pytest.mark.parametrize("sigma", [0, -1.0, float("nan"), float("inf")])
def test_a_sigma_that_is_not_above_0_is_refused(sigma):
    with pytest.raises(ValueError, match="sigma is .* allowed: a finite sigma above 0"):
        border_weights(np.array([[1, 2]]), 10, sigma, (1, 1))


@pytest.mark.parametrize("tolerance", [0, 1, -0.1, 1.5, 1e-40, float("nan")])
def test_a_tolerance_outside_of_0_and_1_is_refused(tolerance):
    with pytest.raises(ValueError, match="tolerance .* allowed: .* from 1e-30 to below 1"):
        border_weights(np.array([[1, 2]]), 10, 5, (1, 1), tolerance)


@pytest.mark.parametrize("spacing", [(1,), (1, 1, 1), (0, 1), (1, -1), (1, float("nan")), ()])
def test_edges_that_do_not_fit_the_axes_are_refused(spacing):
    with pytest.raises(ValueError, match="spacing is .* allowed: 2 edges above 0, one per axis"):
        border_weights(np.array([[1, 2]]), 10, 5, spacing)


@pytest.mark.parametrize("sigma_and_spacing", [(1e7, (1, 1)), (1e-7, (1, 1)), (1, (1, 1e7))])
def test_lengths_too_far_apart_for_exact_sums_are_refused(sigma_and_spacing):
    sigma, spacing = sigma_and_spacing
    with pytest.raises(ValueError, match=r"allowed: within a factor of 1e\+06"):
        border_weights(np.array([[1, 2]]), 10, sigma, spacing)


def test_real_nuclei_have_the_weights_of_the_formula(data):
    folder = data / "nuclei_dsb2018"
    for path in ("fluo/label/04acab7636c4.tif", "color/label/2dd3356f2dcf.tif"):
        instances = tifffile.imread(folder / path)[:150, 50:250]
        assert len(np.unique(instances)) > 20
        assert_as_defined(instances, 5.0, (1.0, 1.0))
        assert_as_defined(instances, 2.5, (0.5, 0.7), tolerance=1e-3)


def test_real_cells_in_pieces_have_the_weights_of_the_formula(data):
    instances = tifffile.imread(data / "cells_phase_usiigaci" / "label" / "set01.tif")
    crop = instances[:330, 420:780]
    pieces = [ndimage.label(crop == i)[1] for i in np.unique(crop) if i]
    assert sum(n > 1 for n in pieces) > 1
    assert len(pieces) > 5
    assert_as_defined(crop, 5.0, (1.0, 1.0))


def test_real_nuclei_in_a_volume_of_coarse_planes_have_the_weights_of_the_formula(data):
    instances = tifffile.imread(data / "stardist_samples" / "mask3d.tif")[:20, :40, :45]
    assert len(np.unique(instances)) > 20
    assert_as_defined(instances, 5.0, (2.0, 1.0, 1.0))
    assert_as_defined(instances, 0.8, (1.5, 0.4, 0.4), tolerance=1e-3)
