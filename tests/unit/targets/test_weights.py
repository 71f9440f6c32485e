"""Weight maps written shard by shard equal those made at once, byte for byte."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from overtile.errors import InputError
from overtile.geometry.spans import Block, plan_blocks
from overtile.ingest.references import write_reference
from overtile.readers.raw import RawImage
from overtile.stores.store import ROOT, Store
from overtile.stores.subblocks import compute_by_subblock
from overtile.targets import weights
from overtile.targets.weights import Weighting, choose_weighting, write_weights
from tests.unit import naive


def reference(instances, folder, ignore=None, size=None, kind="instances", values=(0, 1)) -> Store:
    """A label store of labels (z, y, x). values: raw values of semantic classes."""
    raw = RawImage(Path("made.tif"), instances[None], (0, 1, 2, 3), None)
    names = ["background", *(f"class {i}" for i in values[1:])]
    write_reference(raw, folder, "k", kind, names, values, ignore, size)
    return Store.open(folder)


def weighting(spacing, **changes) -> Weighting:
    """w_0 10, sigma 1 and class weights 0.75 and 1.5, if nothing else is said."""
    known = {"class_weights": [0.75, 1.5], "w0": 10.0, "sigma": 1.0, "spacing": list(spacing)}
    return Weighting(**(known | changes))


def streamed(instances, folder, how, workers=1, **options) -> np.ndarray:
    """The weight map (z, y, x) that the step writes for labels (z, y, x)."""
    labels = reference(instances, folder / "r", **options)
    write_weights(labels, folder / "w.zarr", "k", how, workers)
    return Store.open(folder / "w.zarr", "weights").array[:]


def defined(instances, how) -> tuple[np.ndarray, np.ndarray]:
    """w_c, and equation 2 of the U-Net paper without it, for labels without ignored pixels."""
    parts = instances if len(how.spacing) == 2 else [instances]
    border = [naive.border_weights(part, how.w0, how.sigma, how.spacing) for part in parts]
    of_class = np.asarray(how.class_weights)[(instances > 0).astype(int)]
    return of_class, np.reshape(border, instances.shape)


def assert_as_defined(found, instances, how):
    """Equal within 1e-5, where the border term is not just at the tolerance."""
    of_class, border = defined(instances, how)
    end = how.tolerance * how.w0
    sure = abs(border - end) > 1e-5 * end
    expected = of_class + np.where(border > end, border, 0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[sure], expected[sure], rtol=1e-5)


flat = st.tuples(
    naive.labels([(1, 2), (1, 5, 8, 13), (1, 4, 9, 13)], 4),
    st.sampled_from([(1.0, 1.0), (1.0, 1.25)]),
)
deep = st.tuples(
    naive.labels([(1, 2, 5, 6), (1, 4, 7), (1, 5, 9)], 4),
    st.sampled_from([(1.0, 1.0, 1.0), (2.5, 1.0, 1.0), (0.7, 1.1, 1.0)]),
)


@given(
    st.one_of(flat, deep),
    st.sampled_from(naive.LAYOUTS),
    st.sampled_from([0.2, 0.4, 1.0]),
    st.sampled_from([1e-6, 1e-3]),
    st.sampled_from([1, 3]),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_streamed_weights_equal_weights_made_at_once_byte_for_byte(
    tmp_path_factory, monkeypatch, case, blocks, sigma, tolerance, workers
):
    instances, spacing = case
    how = weighting(spacing, sigma=sigma, tolerance=tolerance)
    whole = streamed(instances, tmp_path_factory.mktemp("whole"), how)
    with monkeypatch.context() as patch:
        naive.use_layout(patch, blocks)
        pieces = streamed(instances, tmp_path_factory.mktemp("pieces"), how, workers)
    assert pieces.tobytes() == whole.tobytes()
    assert_as_defined(whole, instances, how)


CASES = {
    "no cell": np.zeros((1, 6, 7), dtype=np.uint8),
    "one cell": np.array([[[0, 0, 0, 0], [0, 4, 4, 0], [0, 0, 0, 0]]]),
    "two cells": np.array([[[0, 0, 0, 0, 0], [0, 4, 0, 8, 0], [0, 0, 0, 0, 0]]]),
    "cells at the border": np.array([[[4, 0, 0, 8], [0, 0, 0, 0], [2, 0, 0, 6]]]),
    "touching cells": np.array([[[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 3, 3]]]),
    "large ids": np.array([[[2**63 + 1, 0, 0, 2**63 + 2, 2**32]]], dtype=np.uint64),
    "one pixel": np.array([[[3]]]),
}


@pytest.mark.parametrize("case", CASES)
def test_small_pictures_have_the_weights_of_the_formula(tmp_path, case):
    how = weighting((1.0, 1.0))
    assert_as_defined(streamed(CASES[case], tmp_path, how), CASES[case], how)


def test_without_a_second_cell_only_the_class_counts(tmp_path):
    found = streamed(CASES["one cell"], tmp_path, weighting((1.0, 1.0)))
    np.testing.assert_array_equal(found, np.where(CASES["one cell"] > 0, 1.5, 0.75))


@pytest.mark.parametrize("blocks", naive.LAYOUTS)
def test_planes_of_a_stack_do_not_see_each_other_in_two_dimensions_but_do_in_three(
    tmp_path, monkeypatch, blocks
):
    naive.use_layout(monkeypatch, blocks)
    stack = np.array([[[1, 1, 0]], [[2, 2, 0]], [[0, 0, 3]]])
    flat = streamed(stack, tmp_path / "2", weighting((1.0, 1.0)))
    deep = streamed(stack, tmp_path / "3", weighting((1.0, 1.0, 1.0)))
    np.testing.assert_array_equal(flat, np.where(stack > 0, 1.5, 0.75))
    assert (deep[stack > 0] > 2).all()


def test_coarse_planes_are_farther_apart(tmp_path):
    stack = np.array([[[1]], [[0]], [[2]]])
    for edge in (1.0, 2.0):
        found = streamed(stack, tmp_path / str(edge), weighting((edge, 1.0, 1.0)))
        border = 10 * np.exp(-((2 * edge) ** 2) / 2)
        np.testing.assert_allclose(found.ravel(), [1.5 + border, 0.75 + border, 1.5 + border])


def test_ignored_labels_weigh_nothing_and_are_no_cell(tmp_path):
    labels = np.array([[[1, 0, 9, 9], [0, 0, 0, 9]]])
    found = streamed(labels, tmp_path, weighting((1.0, 1.0)), ignore=9)
    np.testing.assert_array_equal(found, [[[1.5, 0.75, 0, 0], [0.75, 0.75, 0.75, 0]]])


@pytest.mark.parametrize("blocks", [{}, *naive.LAYOUTS])
def test_ignored_labels_between_two_cells_weigh_nothing_and_leave_the_others_as_they_are(
    tmp_path, monkeypatch, blocks
):
    naive.use_layout(monkeypatch, blocks)
    labels = np.array([[[1, 9, 0, 2, 0, 0, 9, 2, 0, 1, 9]]])
    how = weighting((1.0, 1.0))
    found = streamed(labels, tmp_path, how, ignore=9)
    ignored = labels == 9
    assert not found[ignored].any()
    without = streamed(np.where(ignored, 0, labels), tmp_path / "without", how)
    np.testing.assert_array_equal(found[~ignored], without[~ignored])
    assert_as_defined(without, np.where(ignored, 0, labels), how)


def test_class_weights_go_to_their_classes(tmp_path):
    how = weighting((1.0, 1.0), class_weights=[0.125, 4.0])
    found = streamed(CASES["one cell"], tmp_path, how)
    assert found[0, 1].tolist() == [0.125, 4.0, 4.0, 0.125]


def test_each_of_several_classes_has_its_own_weight(tmp_path):
    labels = np.array([[[0, 127, 127, 0, 0, 0, 0, 0, 255, 7]]])
    how = weighting((1.0, 1.0), class_weights=[0.5, 2.0, 4.0], sigma=0.5)
    found = streamed(labels, tmp_path, how, 7, ignore=7, kind="semantic", values=(0, 127, 255))
    np.testing.assert_array_equal(found.ravel(), [0.5, 2, 2, 0.5, 0.5, 0.5, 0.5, 0.5, 4, 0])


def test_a_weight_store_says_how_it_was_made(tmp_path):
    how = weighting((2.0, 1.0), tolerance=1e-3)
    streamed(CASES["two cells"], tmp_path, how, size=(1.0, 0.5, 0.25))
    attributes = Store.open(tmp_path / "w.zarr").attributes
    assert attributes["holds"] == "weights"
    assert attributes["labels"] == Store.open(tmp_path / "r").digest
    assert attributes["pixel_size_um"] == [1.0, 0.5, 0.25]
    assert attributes["weighting"] == {
        "class_weights": [0.75, 1.5],
        "w0": 10.0,
        "sigma": 1.0,
        "spacing": [2.0, 1.0],
        "tolerance": 1e-3,
    }


def test_the_halo_has_three_axes_and_none_between_independent_planes():
    assert weighting((2.0, 1.0), sigma=1.0).halo_px == (0, 3, 6)
    assert weighting((6.0, 2.0, 1.0), sigma=1.0).halo_px == (1, 3, 6)
    assert weighting((1.0, 1.0), sigma=1.0, tolerance=0.5).halo_px == (0, 2, 2)


SIZE = (2.0, 0.5, 0.25)


def choose(labels, sigma_um, spacing):
    return choose_weighting(labels, [0.75, 1.5], 10.0, 1.0, sigma_um, 1e-3, spacing, "r")


def test_a_sigma_in_micrometres_takes_the_pixel_size_of_the_slide(tmp_path):
    labels = reference(CASES["two cells"], tmp_path / "r", size=SIZE)
    for spacing, own in (([1.0, 1.0], [0.5, 0.25]), ([1.0, 1.0, 1.0], [2.0, 0.5, 0.25])):
        how = choose(labels, 0.4, spacing)
        assert how == weighting(own, sigma=0.4, tolerance=1e-3)
        write_weights(labels, tmp_path / "w", str(own), how)
        assert_as_defined(Store.open(tmp_path / "w").array[:], CASES["two cells"], how)


def test_a_sigma_in_pixels_takes_the_given_edges_whatever_the_pixel_size(tmp_path):
    for name, size in (("with", SIZE), ("without", None)):
        labels = reference(CASES["two cells"], tmp_path / name, size=size)
        assert choose(labels, None, (3.0, 1.0)) == weighting((3.0, 1.0), tolerance=1e-3)


def test_a_sigma_in_micrometres_without_a_pixel_size_is_refused_in_one_line(tmp_path):
    labels = reference(CASES["two cells"], tmp_path / "r")
    with pytest.raises(InputError, match="r: has no pixel size.*sigma") as refused:
        choose(labels, 0.4, (1.0, 1.0))
    assert "\n" not in str(refused.value)


class KilledError(Exception):
    """Stands for a job that dies."""


def counted(monkeypatch, killed_after=None):
    """Let each block be noted as it is computed, and the job die after some; return the notes."""
    computed, compute = [], weights.weigh_block

    def weigh_block(labels, classes, block, how):
        if len(computed) == killed_after:
            raise KilledError
        computed.append(block.index)
        return compute(labels, classes, block, how)

    monkeypatch.setattr(weights, "weigh_block", weigh_block)
    return computed


@pytest.mark.parametrize("workers", [1, 3])
def test_a_killed_job_goes_on_where_it_stopped_and_writes_the_same_bytes(
    tmp_path, monkeypatch, workers
):
    naive.use_layout(monkeypatch, naive.LAYOUTS[0])
    instances = np.random.default_rng(0).integers(0, 4, (1, 14, 15))
    labels, how = reference(instances, tmp_path / "r"), weighting((1.0, 1.0))
    write_weights(labels, tmp_path / "one" / "w", "k", how)
    with monkeypatch.context() as patch:
        first = counted(patch, killed_after=2)
        with pytest.raises(KilledError):
            write_weights(labels, tmp_path / "two" / "w", "k", how)
    with pytest.raises(InputError, match="no finished store"):
        Store.open(tmp_path / "two" / "w")
    second = counted(monkeypatch)
    write_weights(labels, tmp_path / "two" / "w", "k", how, workers)
    assert sorted(first + second) == [(0, y, x) for y in range(3) for x in range(2)]
    assert len(first) == 2
    roots = [(tmp_path / run / "w" / ROOT).read_bytes() for run in ("one", "two")]
    assert roots[0] == roots[1]
    found = [Store.open(tmp_path / run / "w").array[:].tobytes() for run in ("one", "two")]
    assert found[0] == found[1]


def test_another_weighting_under_another_key_leaves_nothing_of_the_one_before(tmp_path):
    labels = reference(CASES["touching cells"], tmp_path / "r")
    for key, sigma in (("a", 1.0), ("b", 3.0)):
        how = weighting((1.0, 1.0), sigma=sigma)
        write_weights(labels, tmp_path / "w", key, how)
        assert_as_defined(Store.open(tmp_path / "w").array[:], CASES["touching cells"], how)


@pytest.mark.parametrize(("ndim", "shape"), [(2, (1, 40, 50)), (2, (5, 9, 9)), (3, (9, 13, 14))])
def test_pieces_of_a_large_block_stay_small_and_fit_together(monkeypatch, ndim, shape):
    naive.use_layout(monkeypatch, {"PICTURE_SHARD": (1, 8, 6), "VOLUME_SHARD": (4, 5, 3)})
    pixels = np.random.default_rng(0).integers(0, 99, shape)
    halo = (0, 2, 1) if ndim == 2 else (3, 2, 1)
    largest = {2: (8 if shape[0] == 1 else 5) + 4, 3: 4 + 6}[ndim]
    seen = []

    def compute(part):
        seen.append(part.shape)
        return part * 2

    for block in plan_blocks(shape, (4, 19, 20)):
        found = compute_by_subblock(pixels, block, halo, ndim, compute, np.int64)
        np.testing.assert_array_equal(found, 2 * pixels[block.slices])
    assert {len(part) for part in seen} == {ndim}
    assert max(part[0] for part in seen) <= largest


def test_a_piece_is_read_with_its_halo_up_to_the_pictures_border(monkeypatch):
    naive.use_layout(monkeypatch, {"PICTURE_SHARD": (1, 1, 4)})
    pixels = np.arange(12).reshape(1, 1, 12)
    seen = []

    def compute(part):
        seen.append(part[0].tolist())
        return part

    compute_by_subblock(pixels, Block((0, 0, 0), (0, 0, 4), (1, 1, 12)), (0, 0, 3), 2, compute, int)
    assert seen == [list(range(1, 11)), list(range(5, 12))]


def test_real_nuclei_in_shards_have_the_weights_of_the_formula(tmp_path, monkeypatch, data):
    path = data / "nuclei_dsb2018" / "fluo" / "label" / "04acab7636c4.tif"
    instances = tifffile.imread(path)[None, :150, 50:200]
    assert len(np.unique(instances)) > 20
    how = weighting((1.0, 1.0), sigma=5.0)
    whole = streamed(instances, tmp_path / "whole", how)
    shards = {"PICTURE_CHUNK": (1, 16, 32), "PICTURE_SHARD": (1, 32, 32), "MAX_SHARDS": 4}
    naive.use_layout(monkeypatch, shards)
    pieces = streamed(instances, tmp_path / "pieces", how, workers=2)
    assert pieces.tobytes() == whole.tobytes()
    assert_as_defined(whole, instances, how)


@pytest.mark.parametrize("spacing", [(2.0, 1.0, 1.0), (1.0, 1.0)])
def test_a_real_volume_in_shards_has_the_weights_of_the_formula(
    tmp_path, monkeypatch, data, spacing
):
    instances = tifffile.imread(data / "stardist_samples" / "mask3d.tif")[:12, :40, :40]
    assert len(np.unique(instances)) > 10
    how = weighting(spacing, sigma=2.0)
    whole = streamed(instances, tmp_path / "whole", how)
    naive.use_layout(monkeypatch, {"VOLUME_CHUNK": (4, 16, 16), "VOLUME_SHARD": (4, 16, 32)})
    pieces = streamed(instances, tmp_path / "pieces", how, workers=2)
    assert pieces.tobytes() == whole.tobytes()
    assert_as_defined(whole, instances, how)
