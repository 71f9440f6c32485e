"""Separate: from a store and from a plain picture, and what it refuses."""

import numpy as np
import tifffile

from overtile.stores.store import Store

TOUCHING = np.repeat(np.repeat([[0, 7, 9], [0, 7, 5]], 8, axis=0), 8, axis=1).astype(np.uint16)


def touching_pairs(ids: np.ndarray) -> int:
    """Faces between two different cells of (z, y, x)."""
    pairs = [(ids[:, 1:], ids[:, :-1]), (ids[:, :, 1:], ids[:, :, :-1])]
    return sum(int(((a != b) & (a > 0) & (b > 0)).sum()) for a, b in pairs)


def test_cells_that_touch_in_a_plain_picture_stand_apart_in_the_store(done, tmp_path):
    tifffile.imwrite(tmp_path / "cells.tif", TOUCHING)
    target = tmp_path / "apart.ome.zarr"
    done("separate", "--labels", tmp_path / "cells.tif", "--separated", target)
    store = Store.open(target, "labels")
    ids, classes = store.array[:], store.label_classes()
    assert touching_pairs(TOUCHING[None]) and not touching_pairs(ids)
    assert set(np.unique(ids)) == {0, 5, 7, 9} and store.attributes["objects"] == 3
    np.testing.assert_array_equal(classes.array[:] > 0, ids > 0)
    cells = int((ids > 0).sum())
    assert classes.attributes["class_counts"] == [ids.size - cells, cells]
    assert 0 < (TOUCHING > 0).sum() - cells == ((TOUCHING[None] > 0) & (ids == 0)).sum()


def test_a_wider_border_takes_more_of_the_cells(done, tmp_path):
    tifffile.imwrite(tmp_path / "cells.tif", TOUCHING)
    kept = []
    for width in (1, 3):
        target = tmp_path / f"{width}.ome.zarr"
        flags = ("--separated", target, "--separate-px", width)
        done("separate", "--labels", tmp_path / "cells.tif", *flags)
        assert Store.open(target).attributes["separate_px"] == width
        kept.append(Store.open(target).label_classes().attributes["class_counts"][1])
    assert kept[0] > kept[1] > 0


def test_real_cells_are_the_same_whatever_the_number_of_threads(done, data, tmp_path):
    labels = sorted((data / "cells_phase_usiigaci" / "label").iterdir())[0]
    for threads in (1, 2):
        target = tmp_path / str(threads) / "apart.ome.zarr"
        done("separate", "--labels", labels, "--separated", target, "--threads", threads)
    one, two = (Store.open(tmp_path / str(threads) / "apart.ome.zarr") for threads in (1, 2))
    assert one.digest == two.digest
    original = tifffile.imread(labels)[None]
    assert touching_pairs(original) and not touching_pairs(one.array[:])


def test_labels_that_cannot_touch_are_refused(step, archive, tmp_path):
    labels = archive / "a.ome.zarr" / "labels" / "reference"
    result = step("separate", "--labels", labels, "--separated", tmp_path / "s.ome.zarr")
    assert result.returncode == 1
    assert "has binary labels; allowed: instances" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "s.ome.zarr").exists()


def test_a_border_of_no_pixels_is_no_separation(step, tmp_path):
    flags = ("--separated", tmp_path / "s", "--separate-px", "0")
    result = step("separate", "--labels", "cells.tif", *flags)
    assert result.returncode == 2 and "--separate-px" in result.stderr


def test_labels_are_never_separated_onto_themselves_or_twice(step, done, tmp_path):
    tifffile.imwrite(tmp_path / "cells.tif", TOUCHING)
    labels, target = tmp_path / "l.ome.zarr", tmp_path / "s.ome.zarr"
    done("ingest", "--labels", tmp_path / "cells.tif", "--kind", "instances", "--store", labels)
    before = Store.open(labels).digest
    result = step("separate", "--labels", labels, "--separated", labels / "zarr.json")
    assert result.returncode == 1 and "is also --labels" in result.stderr
    assert Store.open(labels).digest == before
    done("separate", "--labels", labels, "--separated", target)
    result = step("separate", "--labels", target, "--separated", tmp_path / "again.ome.zarr")
    assert result.returncode == 1 and "is already separated" in result.stderr
