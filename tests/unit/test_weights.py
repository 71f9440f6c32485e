"""Weight maps written shard by shard equal those made at once, byte for byte."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from overtile.images.raw import RawImage
from overtile.stores import layout
from overtile.stores.reference import write_reference
from overtile.stores.store import Store
from overtile.stores.weights import write_weights

WEIGHTS = {"w0": 10.0, "sigma_px": 1.0, "class_weights": [0.75, 1.5]}
BLOCKS = [
    {
        "PICTURE_CHUNK": (1, 5, 4),
        "PICTURE_SHARD": (1, 5, 8),
        "VOLUME_CHUNK": (1, 3, 4),
        "VOLUME_SHARD": (2, 3, 8),
    },
    {
        "PICTURE_CHUNK": (1, 4, 4),
        "PICTURE_SHARD": (1, 12, 4),
        "VOLUME_CHUNK": (2, 4, 4),
        "VOLUME_SHARD": (2, 4, 4),
    },
]


def streamed(instances, folder, spacing, weights=WEIGHTS, ignore=None) -> np.ndarray:
    """The weight map (z, y, x) that the step writes for labels (z, y, x)."""
    raw = RawImage(Path("made.tif"), instances[None], (0, 1, 2, 3), None)
    names = ["background", "cell"]
    write_reference(raw, folder / "r", "k", "instances", names, [0, 1], ignore, None)
    write_weights(Store.open(folder / "r"), folder / "w.zarr", "k", weights, spacing)
    return Store.open(folder / "w.zarr").array[:]


def naive(instances, spacing, weights=WEIGHTS) -> np.ndarray:
    """w_c plus equation 2 of the U-Net paper: one distance transform per cell, over the whole."""
    if len(spacing) == 2:
        return np.stack([naive(plane, spacing + (1,), weights) for plane in instances])
    sampling = spacing[: instances.ndim]
    of_class = np.asarray(weights["class_weights"])[(instances > 0).astype(int)]
    cells = [i for i in np.unique(instances) if i]
    if len(cells) < 2:
        return of_class
    distances = np.sort(
        [ndimage.distance_transform_edt(instances != i, sampling=sampling) for i in cells], axis=0
    )
    sums = distances[0] + distances[1]
    border = weights["w0"] * np.exp(-(sums**2) / (2 * weights["sigma_px"] ** 2))
    return of_class + np.where(border > 1e-6 * weights["w0"], border, 0)


def assert_weights(instances, folder, spacing, weights=WEIGHTS):
    found = streamed(instances, folder, spacing, weights)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, naive(instances, spacing, weights), rtol=1e-5)


labels_2d = arrays(
    np.uint16,
    st.tuples(st.sampled_from([1, 2]), st.integers(1, 13), st.integers(1, 13)),
    elements=st.sampled_from([0, 0, 0, 1, 2, 3]),
)
labels_3d = arrays(
    np.uint16,
    st.tuples(st.integers(2, 6), st.integers(1, 7), st.integers(1, 7)),
    elements=st.sampled_from([0, 0, 0, 1, 2, 3]),
)


@given(
    st.one_of(
        st.tuples(labels_2d, st.sampled_from([(1.0, 1.0), (1.0, 1.25)])),
        st.tuples(labels_3d, st.sampled_from([(1.0, 1.0, 1.0), (2.5, 1.0, 1.0), (0.7, 1.1, 1.0)])),
    ),
    st.sampled_from(BLOCKS),
    st.sampled_from([0.4, 1.0]),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_streamed_weights_equal_weights_made_at_once_byte_for_byte(
    tmp_path_factory, monkeypatch, case, blocks, sigma_px
):
    instances, spacing = case
    weights = WEIGHTS | {"sigma_px": sigma_px}
    whole = streamed(instances, tmp_path_factory.mktemp("whole"), spacing, weights)
    with monkeypatch.context() as patch:
        for name, value in blocks.items():
            patch.setattr(layout, name, value)
        pieces = streamed(instances, tmp_path_factory.mktemp("pieces"), spacing, weights)
    assert pieces.tobytes() == whole.tobytes()
    np.testing.assert_allclose(whole, naive(instances, spacing, weights), rtol=1e-5)


CASES = {
    "no cell": np.zeros((1, 6, 7), dtype=np.uint8),
    "one cell": np.array([[[0, 0, 0, 0], [0, 4, 4, 0], [0, 0, 0, 0]]]),
    "two cells": np.array([[[0, 0, 0, 0, 0], [0, 4, 0, 8, 0], [0, 0, 0, 0, 0]]]),
    "cells at the border": np.array([[[4, 0, 0, 8], [0, 0, 0, 0], [2, 0, 0, 6]]]),
    "touching cells": np.array([[[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 3, 3]]]),
    "one pixel": np.array([[[3]]]),
}


@pytest.mark.parametrize("case", CASES)
def test_small_pictures_have_the_weights_of_the_formula(tmp_path, case):
    assert_weights(CASES[case], tmp_path, (1.0, 1.0))


def test_without_a_second_cell_only_the_class_counts(tmp_path):
    found = streamed(CASES["one cell"], tmp_path, (1.0, 1.0))
    np.testing.assert_array_equal(found, np.where(CASES["one cell"] > 0, 1.5, 0.75))


def test_planes_of_a_stack_do_not_see_each_other_in_two_dimensions_but_do_in_three(tmp_path):
    stack = np.array([[[1, 1, 0]], [[2, 2, 0]]])
    flat = streamed(stack, tmp_path / "2", (1.0, 1.0))
    deep = streamed(stack, tmp_path / "3", (1.0, 1.0, 1.0))
    np.testing.assert_array_equal(flat, np.where(stack > 0, 1.5, 0.75))
    assert (deep[stack > 0] > 2).all()


def test_coarse_planes_are_farther_apart(tmp_path):
    stack = np.array([[[1]], [[0]], [[2]]])
    for edge in (1.0, 2.0):
        found = streamed(stack, tmp_path / str(edge), (edge, 1.0, 1.0))
        border = 10 * np.exp(-((2 * edge) ** 2) / 2)
        np.testing.assert_allclose(found.ravel(), [1.5 + border, 0.75 + border, 1.5 + border])


def test_ignored_labels_weigh_nothing_and_are_no_cell(tmp_path):
    labels = np.array([[[1, 0, 9, 9], [0, 0, 0, 9]]])
    found = streamed(labels, tmp_path, (1.0, 1.0), ignore=9)
    np.testing.assert_array_equal(found, [[[1.5, 0.75, 0, 0], [0.75, 0.75, 0.75, 0]]])


def test_ignored_labels_between_two_cells_weigh_nothing_either(tmp_path):
    found = streamed(np.array([[[1, 9, 0, 2]]]), tmp_path, (1.0, 1.0), ignore=9).ravel()
    assert found[1] == 0
    assert (found[[0, 2, 3]] > [1.5, 0.75, 1.5]).all()


def test_class_weights_go_to_their_classes(tmp_path):
    weights = WEIGHTS | {"class_weights": [0.125, 4.0]}
    found = streamed(CASES["one cell"], tmp_path, (1.0, 1.0), weights)
    assert found[0, 1].tolist() == [0.125, 4.0, 4.0, 0.125]


def test_a_weight_store_says_how_it_was_made(tmp_path):
    streamed(CASES["two cells"], tmp_path, (1.0, 1.0))
    attributes = Store.open(tmp_path / "w.zarr").attributes
    assert attributes["weights"] == WEIGHTS
    assert attributes["spacing"] == [1.0, 1.0]


def test_real_nuclei_in_shards_have_the_weights_of_the_formula(tmp_path, monkeypatch, data):
    import tifffile

    path = sorted((data / "nuclei_dsb2018" / "fluo" / "label").iterdir())[0]
    instances = tifffile.imread(path)[None, :200, :200]
    assert len(np.unique(instances)) > 3
    weights = WEIGHTS | {"sigma_px": 5.0}
    whole = streamed(instances, tmp_path / "whole", (1.0, 1.0), weights)
    monkeypatch.setattr(layout, "PICTURE_CHUNK", (1, 32, 32))
    monkeypatch.setattr(layout, "PICTURE_SHARD", (1, 64, 32))
    pieces = streamed(instances, tmp_path / "pieces", (1.0, 1.0), weights)
    assert pieces.tobytes() == whole.tobytes()
    np.testing.assert_allclose(whole, naive(instances, (1.0, 1.0), weights), rtol=1e-5)


def test_a_real_volume_with_coarse_planes_has_the_weights_of_the_formula(tmp_path, data):
    import tifffile

    instances = tifffile.imread(data / "stardist_samples" / "mask3d.tif")[:12, :40, :40]
    assert len(np.unique(instances)) > 3
    assert_weights(instances, tmp_path, (2.0, 1.0, 1.0), WEIGHTS | {"sigma_px": 2.0})
