"""Raw labels become ids and classes: what each kind means, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from overtile.errors import InputError
from overtile.geometry.components import IGNORE
from overtile.ingest.label_files import open_labels
from overtile.ingest.references import write_reference
from overtile.readers.opening import open_raw
from overtile.readers.raw import RawImage
from overtile.stores import layout
from overtile.stores.labels import write_component_store
from overtile.stores.store import ROOT, Store

TWO = ["background", "cell"]


def reference(labels, folder, kind="instances", names=TWO, values=(0, 1), ignore=None) -> Store:
    """The label store of an array (y, x) or (z, y, x)."""
    labels = np.asarray(labels)
    pixels = labels.reshape((1,) * (4 - labels.ndim) + labels.shape)
    raw = RawImage(Path("made.tif"), pixels, (0, 1, 2, 3), None)
    write_reference(raw, folder, "k", kind, names, values, ignore, None)
    return Store.open(folder)


def ids_of(store):
    return store.array[:].squeeze().tolist()


def classes_of(store):
    return store.label_classes().array[:].squeeze().tolist()


def test_instances_keep_their_ids_and_are_all_of_one_class(tmp_path):
    store = reference([[0, 7, 7], [9, 0, 7]], tmp_path / "r")
    assert ids_of(store) == [[0, 7, 7], [9, 0, 7]]
    assert classes_of(store) == [[0, 1, 1], [1, 0, 1]]
    assert store.attributes["objects"] == 2
    assert store.label_classes().attributes["class_counts"] == [2, 4]


def test_an_instance_in_two_pieces_stays_one_object(tmp_path):
    store = reference([[5, 0, 5]], tmp_path / "r")
    assert ids_of(store) == [5, 0, 5]
    assert store.attributes["objects"] == 1


def test_binary_objects_are_face_connected_components(tmp_path):
    store = reference([[255, 255, 0], [0, 0, 255]], tmp_path / "r", "binary")
    assert ids_of(store) == [[1, 1, 0], [0, 0, 2]]
    assert classes_of(store) == [[1, 1, 0], [0, 0, 1]]
    assert store.attributes["objects"] == 2


def test_semantic_values_become_classes_and_components_of_each_class_objects(tmp_path):
    names = ["background", "myelin", "axon"]
    store = reference(
        [[0, 127, 255], [255, 127, 0]], tmp_path / "r", "semantic", names, [0, 127, 255]
    )
    assert classes_of(store) == [[0, 1, 2], [2, 1, 0]]
    assert ids_of(store) == [[0, 1, 2], [3, 1, 0]]
    assert store.label_classes().attributes["class_counts"] == [2, 2, 2]


@pytest.mark.parametrize(
    ("kind", "ids"),
    [("instances", [0, 4, 0, 2]), ("binary", [0, 1, 0, 2]), ("semantic", [0, 1, 0, 2])],
)
def test_the_ignored_value_is_no_object_and_no_class(tmp_path, kind, ids):
    names, values = ["background", "a", "b"], [0, 4, 2]
    store = reference([[0, 4, 9, 2]], tmp_path / "r", kind, names, values, ignore=9)
    second = 2 if kind == "semantic" else 1
    assert ids_of(store) == ids
    assert classes_of(store) == [0, 1, IGNORE, second]
    assert store.attributes["objects"] == 2
    assert store.label_classes().attributes["ignored"] == 1


WIDE = (np.uint64, np.int64, np.float64)


@pytest.mark.parametrize(
    ("large", "dtype"),
    [
        *((large, dtype) for large in (65_536, 2**32 - 1) for dtype in (np.uint32, *WIDE)),
        *((2**32 + 1, dtype) for dtype in WIDE),
    ],
)
def test_large_ids_are_kept(tmp_path, dtype, large):
    labels = np.array([[0, 1, large], [large, 0, 1]], dtype=dtype)
    store = reference(labels, tmp_path / "r")
    assert ids_of(store) == labels.astype(int).tolist()
    assert store.attributes["objects"] == 2


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32])
def test_whole_numbers_of_any_type_are_labels(tmp_path, dtype):
    store = reference(np.array([[0, 1, 2]], dtype=dtype), tmp_path / "r")
    assert ids_of(store) == [0, 1, 2]


@pytest.mark.parametrize("kind", ["instances", "binary", "semantic"])
@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ([[0, -3]], "has label -3"),
        ([[0.0, -3.0]], "has label -3"),
        ([[0.0, 0.5]], "not whole numbers"),
        ([[0.0, np.nan]], "not whole numbers"),
        ([[0.0, np.inf]], "not whole numbers"),
        ([[0.0, 1e19]], "not whole numbers"),
    ],
)
def test_labels_that_are_no_counting_numbers_are_refused(tmp_path, kind, labels, found):
    with pytest.raises(InputError, match=f"made.tif: .*{found}"):
        reference(labels, tmp_path / "r", kind)
    assert not (tmp_path / "r" / ROOT).exists()


def test_an_unknown_semantic_value_is_refused_with_those_allowed(tmp_path):
    with pytest.raises(InputError, match="made.tif: has label 3; allowed: 0, 127; .*labels.ignore"):
        reference([[0, 3]], tmp_path / "r", "semantic", TWO, [0, 127])


def test_coloured_labels_are_refused(tmp_path):
    raw = RawImage(Path("made.tif"), np.zeros((3, 1, 2, 2), np.uint8), (0, 1, 2, 3), None)
    with pytest.raises(InputError, match="made.tif: labels have 3 channels; allowed: 1"):
        write_reference(raw, tmp_path / "r", "k", "instances", TWO, [0, 1], None, None)


def test_a_label_store_without_objects_is_whole(tmp_path):
    for kind in ("instances", "binary", "semantic"):
        store = reference(np.zeros((3, 4), np.uint8), tmp_path / kind, kind)
        assert store.attributes["objects"] == 0
        assert store.label_classes().attributes["class_counts"] == [12, 0]


def test_other_classes_under_the_same_ids_give_another_digest(tmp_path):
    names = ["background", "a", "b"]
    digests = set()
    for number, values in enumerate(([0, 1, 2], [0, 2, 1])):
        store = reference([[0, 1, 2]], tmp_path / str(number), "semantic", names, values)
        assert ids_of(store) == [0, 1, 2]
        digests.add(store.digest)
    assert len(digests) == 2


SHARDS = [
    {"PICTURE_CHUNK": (1, 4, 4), "PICTURE_SHARD": (1, 4, 4)},
    {"PICTURE_CHUNK": (1, 2, 8), "PICTURE_SHARD": (1, 6, 8)},
    {"PICTURE_CHUNK": (1, 256, 256), "PICTURE_SHARD": (1, 1024, 1024)},
]
VOLUME_SHARDS = [
    {"VOLUME_CHUNK": (1, 4, 4), "VOLUME_SHARD": (1, 8, 4)},
    {"VOLUME_CHUNK": (2, 3, 5), "VOLUME_SHARD": (2, 3, 5)},
    {"VOLUME_CHUNK": (16, 128, 128), "VOLUME_SHARD": (32, 256, 256)},
]


@given(
    arrays(
        np.uint8,
        st.tuples(st.sampled_from([1, 4]), st.integers(1, 12), st.integers(1, 12)),
        elements=st.sampled_from([0, 1, 1]),
    ),
    st.sampled_from([0, 1, 2]),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_stored_components_have_the_numbers_of_scipy_whatever_the_shards(
    tmp_path_factory, monkeypatch, classes, size
):
    for name, value in (SHARDS[size] | VOLUME_SHARDS[size]).items():
        monkeypatch.setattr(layout, name, value)
    folder = tmp_path_factory.mktemp("components") / "r"
    write_component_store(
        folder, "k", classes.shape, lambda b: classes[b.slices], TWO, None, "binary"
    )
    expected, count = ndimage.label(classes)
    np.testing.assert_array_equal(Store.open(folder).array[:], expected)
    assert Store.open(folder).attributes["objects"] == count


def test_instances_that_reach_over_shards_are_counted_once(tmp_path, monkeypatch):
    for name, value in SHARDS[0].items():
        monkeypatch.setattr(layout, name, value)
    labels = np.zeros((9, 9), dtype=np.uint16)
    labels[4] = 70
    labels[:, 7] = 900
    assert reference(labels, tmp_path / "r").attributes["objects"] == 2


def test_the_journal_does_not_grow_with_the_number_of_instances(tmp_path):
    sizes = set()
    for count in (1, 80):
        labels = np.arange(80, dtype=np.uint32).reshape(40, 2) % count + 1
        store = reference(labels, tmp_path / str(count))
        assert store.attributes["objects"] == count
        sizes.add((store.path / "journal.jsonl").stat().st_size)
    assert len(sizes) == 1


def test_a_plain_picture_is_read_as_if_it_were_a_store(tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "cells.tif", np.array([[0, 4, 4, 0, 6]], dtype=np.uint16))
    for kind, ids in (("instances", [0, 4, 4, 0, 6]), ("binary", [0, 1, 1, 0, 2])):
        with open_labels(tmp_path / "cells.tif", kind) as store:
            assert ids_of(store) == ids
    with (
        pytest.raises(InputError, match="no finished store"),
        open_labels(tmp_path / "x", "binary"),
    ):
        pass


def test_real_instances_keep_their_ids_and_their_count(tmp_path, data):
    import tifffile

    path = data / "cells_phase_usiigaci" / "label" / "set01.tif"
    labels = tifffile.imread(path)
    write_reference(open_raw(path), tmp_path / "r", "k", "instances", TWO, [0, 1], None, None)
    store = Store.open(tmp_path / "r")
    np.testing.assert_array_equal(store.array[0], labels)
    np.testing.assert_array_equal(store.label_classes().array[0], labels > 0)
    assert store.attributes["objects"] == len(np.unique(labels[labels > 0]))


def test_a_real_hippocampus_has_its_two_classes(tmp_path, data):
    import nibabel

    path = sorted((data / "mri_hippocampus" / "labels").iterdir())[0]
    voxels = np.asarray(nibabel.load(path).dataobj).transpose()
    names = ["background", "anterior", "posterior"]
    write_reference(open_raw(path), tmp_path / "r", "k", "semantic", names, [0, 1, 2], None, None)
    store = Store.open(tmp_path / "r")
    np.testing.assert_array_equal(store.label_classes().array[:], voxels)
    expected = sum(ndimage.label(voxels == value)[1] for value in (1, 2))
    assert store.attributes["objects"] == expected
