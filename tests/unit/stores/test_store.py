"""Opening stores: only whole ones, only of the kind asked for."""

import json

import numpy as np
import pytest

from overtile.errors import InputError
from overtile.stores.ngff import multiscale_attributes
from overtile.stores.store import Store, store_path
from overtile.stores.writer import StoreWriter

AXES = ("z", "y", "x")


@pytest.fixture
def labels(tmp_path):
    folder = tmp_path / "s.ome.zarr" / "labels" / "reference"
    writer = StoreWriter(folder, "key", "labels")
    writer.add_array("0", (1, 3, 4), np.uint8, AXES)
    writer.fill("0", lambda block: (np.ones(block.shape), {}), label="ones")
    ome = multiscale_attributes("reference", AXES, [(1, 1, 1)], (2.0, 0.5, 0.5), is_label=True)
    writer.commit(ome, pixel_size_um=[2.0, 0.5, 0.5])
    return folder


def test_a_store_opens_by_its_folder_and_by_its_root_file(labels):
    assert store_path(labels / "zarr.json") == labels
    for path in (labels, labels / "zarr.json", str(labels)):
        store = Store.open(path, "labels")
        assert store.shape == (1, 3, 4)
        assert store.pixel_size_um == (2.0, 0.5, 0.5)
        assert (store.array[:] == 1).all()


def test_a_store_of_another_kind_is_refused_by_name(labels):
    with pytest.raises(InputError, match="reference: holds labels; give a store that holds pict"):
        Store.open(labels, "picture")


def test_a_store_without_root_does_not_exist(labels):
    (labels / "zarr.json").unlink()
    with pytest.raises(InputError, match="no finished store"):
        Store.open(labels)


@pytest.mark.parametrize("root", ["{", "[]", "{}", json.dumps({"attributes": {"ome": {}}})])
def test_a_store_that_others_made_or_that_is_damaged_is_refused(labels, root):
    (labels / "zarr.json").write_text(root)
    with pytest.raises(InputError, match="not a store of this project"):
        Store.open(labels)


@pytest.mark.parametrize(
    ("folder", "name"), [("a.ome.zarr", "a"), ("a.zarr", "a"), ("x.ome.ome.zarr", "x.ome")]
)
def test_a_store_is_named_after_its_folder(tmp_path, folder, name):
    assert Store(tmp_path / folder, {}).name == name
