"""Plain pictures as label stores: where the temporary store lies, and that nothing stays."""

import shutil

import numpy as np
import pytest
import tifffile

from overtile.errors import InputError
from overtile.ingest.label_files import open_labels, remove_temporary


@pytest.fixture
def cells(tmp_path):
    """A plain picture of two cells."""
    tifffile.imwrite(tmp_path / "cells.tif", np.array([[0, 4, 4, 0, 6]], dtype=np.uint16))
    return tmp_path / "cells.tif"


def test_beside_a_store_lies_a_temporary_one_that_is_gone_afterwards(cells, tmp_path):
    beside = tmp_path / "new" / "p.ome.zarr"
    with open_labels(cells, "binary", beside) as store:
        assert store.path.resolve().is_relative_to(beside.parent)
        assert store.array[0, 0].tolist() == [0, 1, 1, 0, 2]
        assert not beside.exists()
    assert not list(beside.parent.iterdir())


def test_a_folder_of_somebody_with_such_a_name_is_left_alone(tmp_path):
    mine = tmp_path / ".p.ome.zarr-labels-mine" / "thesis"
    mine.mkdir(parents=True)
    (mine / "thesis.txt").write_text("precious")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / ".p.ome.zarr-labels-link").symlink_to(elsewhere)
    remove_temporary(tmp_path / "p.ome.zarr")
    assert (mine / "thesis.txt").read_text() == "precious"
    assert (tmp_path / ".p.ome.zarr-labels-link").is_symlink() and elsewhere.exists()


def test_what_a_kill_has_left_is_removed_and_nothing_of_another_store(cells, tmp_path):
    beside, other = tmp_path / "p.ome.zarr", tmp_path / "p.ome.zarr-2"
    kept = {cells, tmp_path / "p.ome.zarr.mask"}
    (tmp_path / "p.ome.zarr.mask").mkdir()
    for store in (beside, beside, other):
        with open_labels(cells, "binary", store) as made:
            # As a kill leaves it.
            killed = made.path.parent.with_name(f"{made.path.parent.name}x")
            shutil.copytree(made.path.parent, killed)
            if store == other:
                kept.add(killed)
    assert len(list(tmp_path.iterdir())) == 5
    remove_temporary(beside)
    assert set(tmp_path.iterdir()) == kept


def test_a_person_knows_a_plain_picture_by_its_own_path_and_so_its_classes(cells):
    with open_labels(cells, "instances") as store:
        assert store.path != cells
        assert store.shown == store.label_classes().shown == cells


@pytest.mark.parametrize(
    ("name", "line"),
    {
        "none.tif": "no such file",
        "none.tiff.gz": "no such file",
        "reference": "no finished store",
        "a.ome.zarr": "no finished store",
        "a.ome.zarr/labels/unet-1.5": "no finished store",
        "a.ome.zarr/zarr.json": "no finished store",
    }.items(),
)
def test_what_is_not_there_is_called_a_file_or_a_store_by_its_name(tmp_path, name, line):
    shown = tmp_path / name.removesuffix("/zarr.json")
    with pytest.raises(InputError, match=f"^{shown}: {line}"), open_labels(tmp_path / name, ""):
        pass
