"""Touching cells are cut apart as defined, and the same shard by shard as at once."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from overtile.errors import InputError
from overtile.geometry.borders import separate
from overtile.geometry.components import IGNORE
from overtile.ingest.references import write_reference
from overtile.readers.raw import RawImage
from overtile.stores.store import ROOT, Store
from overtile.targets import separated
from overtile.targets.separated import write_separated
from tests.examples import examples
from tests.unit import naive

crowded = st.one_of(
    naive.labels([(1, 2, 9, 17, 21)] * 2, most_cells=9), naive.labels([(1, 3, 6, 8)] * 3)
)


@given(crowded, st.sampled_from([1, 2, 3, 5, 60]))
@settings(max_examples=examples(120), deadline=None)
def test_a_pixel_becomes_background_where_another_cell_is_within_reach(instances, separate_px):
    found = separate(instances, separate_px)
    assert (found.dtype, found.shape) == (instances.dtype, instances.shape)
    np.testing.assert_array_equal(found, naive.separate(instances, separate_px))


@given(crowded, st.sampled_from([1, 2, 3]))
@settings(max_examples=examples(50), deadline=None)
def test_afterwards_no_two_cells_share_a_face_and_nothing_is_left_to_cut(instances, separate_px):
    found = separate(instances, separate_px)
    for axis in range(found.ndim):
        near, far = (np.delete(found, i, axis) for i in (-1, 0))
        assert not ((near != far) & (near > 0) & (far > 0)).any()
    np.testing.assert_array_equal(separate(found, separate_px), found)


@pytest.mark.parametrize("separate_px", [1, 2, 3])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_halves_that_touch_end_up_twice_as_far_apart_as_the_cut_is_deep(separate_px, axis):
    instances = np.moveaxis(
        np.repeat([1, 2], 8).reshape(16, 1, 1).repeat(5, 1).repeat(4, 2), 0, axis
    )
    line = np.moveaxis(separate(instances, separate_px), axis, 0)[:, 1, 1]
    kept = 8 - separate_px
    assert line.tolist() == [1] * kept + [0] * 2 * separate_px + [2] * kept


def test_a_cut_reaches_along_a_row_as_far_as_it_says_and_not_further():
    assert separate(np.array([[1, 1, 0, 2, 2]]), 1).tolist() == [[1, 1, 0, 2, 2]]
    assert separate(np.array([[1, 1, 0, 2, 2]]), 2).tolist() == [[1, 0, 0, 0, 2]]


def test_a_cut_of_one_leaves_cells_that_meet_at_a_corner_and_a_cut_of_two_does_not():
    corner = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 2, 2], [0, 0, 2, 2]])
    np.testing.assert_array_equal(separate(corner, 1), corner)
    assert separate(corner, 2).tolist() == [[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 2], [0, 0, 2, 2]]


def test_cells_that_are_further_apart_stay_as_they_are():
    instances = np.zeros((12, 20), dtype=np.uint16)
    instances[2:10, 1:8], instances[2:10, 12:19] = 300, 7
    np.testing.assert_array_equal(separate(instances, 4), instances)
    assert (separate(instances, 5) != instances).any()


def test_a_cell_that_is_nowhere_thicker_than_the_cut_is_lost():
    instances = np.array([[1, 1, 1, 2, 3, 3, 3]])
    assert separate(instances, 1).tolist() == [[1, 1, 0, 0, 0, 3, 3]]


def test_pieces_of_one_cell_are_not_cut_from_each_other():
    instances = np.array([[4, 0, 4, 4], [4, 4, 0, 4]])
    np.testing.assert_array_equal(separate(instances, 3), instances)


def test_a_cut_of_zero_returns_the_same():
    instances = np.array([[1, 2, 2]])
    np.testing.assert_array_equal(separate(instances, 0), [[1, 2, 2]])


INTEGERS = [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_ids_and_dtype_stay_what_they_are(dtype):
    large = np.iinfo(dtype).max
    instances = np.array([[large, large, large - 1, large - 1, 0, 1]], dtype=dtype)
    found = separate(instances, 1)
    assert found.dtype == dtype
    assert found.tolist() == [[large, 0, 0, large - 1, 0, 1]]


def test_views_are_cut_like_copies_and_stay_as_they_were():
    instances = np.random.default_rng(0).integers(0, 3, (24, 30)).repeat(3, 0).astype(np.uint32)
    before = instances.copy()
    for view in (instances.T, instances[::2, ::-1], instances[5:, 3:20]):
        np.testing.assert_array_equal(separate(view, 2), naive.separate(view.copy(), 2))
    np.testing.assert_array_equal(instances, before)


def reference(instances, folder, ignore=None, size=None) -> Store:
    """A label store of labels (z, y, x)."""
    raw = RawImage(Path("made.tif"), instances[None], (0, 1, 2, 3), None)
    names = ["background", "cell"]
    write_reference(raw, folder, "k", "instances", names, [0, 1], ignore, size)
    return Store.open(folder)


def streamed(instances, folder, separate_px, ndim, workers=1, **options) -> Store:
    """The store that the step writes for labels (z, y, x)."""
    labels = reference(instances, folder / "r", **options)
    write_separated(labels, folder / "s.ome.zarr", "k", separate_px, ndim, workers)
    return Store.open(folder / "s.ome.zarr", "labels")


def assert_separated(store, labels, separate_px, ndim, ignore=None):
    """Ids as defined, and class map, counts and objects that agree with them."""
    ignored = np.zeros(labels.shape, bool) if ignore is None else labels == ignore
    cells = np.where(ignored, 0, labels)
    parts = [cells] if ndim == 3 else cells
    expected = np.reshape([naive.separate(part, separate_px) for part in parts], cells.shape)
    ids, classes = store.array[:], store.label_classes()
    np.testing.assert_array_equal(ids, expected)
    np.testing.assert_array_equal(classes.array[:], np.where(ignored, IGNORE, expected > 0))
    counts = [int((~ignored & (expected == 0)).sum()), int((expected > 0).sum())]
    assert classes.attributes["class_counts"] == counts
    assert classes.attributes["ignored"] == ignored.sum()
    assert store.attributes["objects"] == len(np.unique(expected[expected > 0]))


cases = st.one_of(
    st.tuples(naive.labels([(1, 2), (1, 5, 8, 13), (1, 4, 9, 13)]), st.just(2)),
    st.tuples(naive.labels([(1, 2, 5, 6), (1, 4, 7), (1, 5, 9)]), st.just(3)),
)


@given(
    cases,
    st.sampled_from(naive.LAYOUTS),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([None, 2]),
    st.sampled_from([1, 3]),
)
@settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_streamed_labels_equal_labels_separated_at_once_byte_for_byte(
    tmp_path_factory, monkeypatch, case, blocks, separate_px, ignore, workers
):
    instances, ndim = case
    whole = streamed(instances, tmp_path_factory.mktemp("whole"), separate_px, ndim, ignore=ignore)
    assert_separated(whole, instances, separate_px, ndim, ignore)
    with monkeypatch.context() as patch:
        naive.use_layout(patch, blocks)
        folder = tmp_path_factory.mktemp("pieces")
        pieces = streamed(instances, folder, separate_px, ndim, workers, ignore=ignore)
        assert pieces.array[:].tobytes() == whole.array[:].tobytes()
        assert_separated(pieces, instances, separate_px, ndim, ignore)


def test_planes_of_a_stack_are_cut_from_each_other_in_three_dimensions_only(tmp_path):
    stack = np.array([[[1, 1, 0]], [[2, 2, 0]], [[0, 0, 3]]])
    flat = streamed(stack, tmp_path / "2", 1, ndim=2)
    deep = streamed(stack, tmp_path / "3", 1, ndim=3)
    np.testing.assert_array_equal(flat.array[:], stack)
    assert deep.array[:].tolist() == [[[0, 0, 0]], [[0, 0, 0]], [[0, 0, 3]]]


def test_a_cut_is_as_deep_in_pixels_whatever_their_edges(tmp_path):
    stack = np.repeat([1, 2], 4).reshape(8, 1, 1).repeat(3, 1)
    deep = streamed(stack, tmp_path, 1, ndim=3, size=(12.5, 0.1, 3.0))
    assert deep.array[:, 0, 0].tolist() == [1, 1, 1, 0, 0, 2, 2, 2]


def test_cells_that_vanish_are_not_counted_and_ignored_pixels_stay_ignored(tmp_path):
    labels = np.array([[[1, 1, 1, 2, 3, 3, 3, 9, 9]]])
    store = streamed(labels, tmp_path, 1, ndim=2, ignore=9)
    classes = store.label_classes()
    assert store.array[0, 0].tolist() == [1, 1, 0, 0, 0, 3, 3, 0, 0]
    assert classes.array[0, 0].tolist() == [1, 1, 0, 0, 0, 1, 1, IGNORE, IGNORE]
    assert store.attributes["objects"] == 2
    assert classes.attributes["class_counts"] == [3, 4]
    assert classes.attributes["ignored"] == 2


def test_a_separated_store_says_how_it_was_made_and_is_else_like_its_labels(tmp_path):
    labels = np.array([[[2**40, 2**40, 2**40 + 1, 2**40 + 1]]], dtype=np.uint64)
    store = streamed(labels, tmp_path, 2, ndim=2, size=(1.0, 0.5, 0.25))
    given = Store.open(tmp_path / "r")
    assert store.attributes["separate_px"] == 2
    assert store.array.dtype == given.array.dtype == np.uint64
    for key in ("kind", "holds", "pixel_size_um"):
        assert store.attributes[key] == given.attributes[key]
    classes, before = store.label_classes().attributes, given.label_classes().attributes
    for key in ("class_names", "pixel_size_um"):
        assert classes[key] == before[key]
    assert "separate_px" not in given.attributes
    np.testing.assert_array_equal(given.array[:], labels)


class KilledError(Exception):
    """Stands for a job that dies."""


def counted(patch, name, killed_after=None):
    """Note each call of one function of the module, and let the job die after some."""
    calls, function = [], getattr(separated, name)

    def noted(*arguments, **options):
        if len(calls) == killed_after:
            raise KilledError
        calls.append(name)
        return function(*arguments, **options)

    patch.setattr(separated, name, noted)
    return calls


def test_independent_planes_are_separated_once_each(tmp_path, monkeypatch):
    naive.use_layout(monkeypatch, naive.LAYOUTS[1])
    labels = reference(np.ones((6, 4, 4), dtype=np.uint8), tmp_path / "r")
    calls = counted(monkeypatch, "separate")
    write_separated(labels, tmp_path / "s", "k", 3, ndim=2)
    assert len(calls) == 6


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(("name", "killed_after"), [("separate", 2), ("write_objects", 0)])
def test_a_killed_job_goes_on_where_it_stopped_and_writes_the_same_bytes(
    tmp_path, monkeypatch, workers, name, killed_after
):
    naive.use_layout(monkeypatch, naive.LAYOUTS[0])
    instances = np.random.default_rng(0).integers(0, 4, (1, 14, 15)).repeat(2, 1)[:, :14]
    labels, paths = reference(instances, tmp_path / "r"), [tmp_path / n / "s" for n in "12"]
    write_separated(labels, paths[0], "k", 1, 2)
    with monkeypatch.context() as patch:
        first = counted(patch, "separate", None if name != "separate" else killed_after)
        if name == "write_objects":
            counted(patch, name, killed_after)
        with pytest.raises(KilledError):
            write_separated(labels, paths[1], "k", 1, 2)
    with pytest.raises(InputError, match="no finished store"):
        Store.open(paths[1])
    second = counted(monkeypatch, "separate")
    write_separated(labels, paths[1], "k", 1, 2, workers)
    assert len(first) == (2 if name == "separate" else 6)
    assert len(first) + len(second) == 6
    for file in (Path(ROOT), Path("classes") / ROOT):
        assert (paths[0] / file).read_bytes() == (paths[1] / file).read_bytes()
    assert_separated(Store.open(paths[1]), instances, 1, ndim=2)


def test_real_nuclei_and_cells_are_separated_as_defined(data):
    for path, crop in (
        ("nuclei_dsb2018/fluo/label/04acab7636c4.tif", np.s_[:60, 50:110]),
        ("nuclei_dsb2018/color/label/2dd3356f2dcf.tif", np.s_[40:100, 50:110]),
        ("cells_phase_usiigaci/label/set01.tif", np.s_[230:300, 400:470]),
    ):
        instances = tifffile.imread(data / path)[crop]
        for separate_px in (1, 3):
            found = separate(instances, separate_px)
            np.testing.assert_array_equal(found, naive.separate(instances, separate_px))


def test_a_real_volume_is_separated_in_shards_as_defined(tmp_path, monkeypatch, data):
    instances = tifffile.imread(data / "stardist_samples" / "mask3d.tif")[:8, :22, :24]
    naive.use_layout(monkeypatch, {"VOLUME_CHUNK": (4, 8, 8), "VOLUME_SHARD": (4, 8, 16)})
    for ndim in (2, 3):
        store = streamed(instances, tmp_path / str(ndim), 1, ndim, workers=2)
        assert_separated(store, instances, 1, ndim)
        assert store.attributes["objects"] > 3
        assert (store.array[:] != instances).any()
