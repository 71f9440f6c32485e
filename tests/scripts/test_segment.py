"""Segment: objects over all shards, and refusals."""

import numpy as np
from scipy import ndimage

from overtile.stores.store import Store


def test_objects_are_the_components_of_the_class_map_over_all_shards(probabilities, done, tmp_path):
    target = tmp_path / "s.ome.zarr" / "labels" / "unet"
    done("segment", "--probabilities", probabilities, "--segmentation", target)
    store = Store.open(target)
    classes = store.label_classes().array[:]
    assert np.array_equal(classes, Store.open(probabilities).array[:].argmax(axis=0))
    expected, count = ndimage.label(classes)
    assert store.attributes["objects"] == count
    assert np.array_equal(store.array[:], expected)


def test_a_picture_in_place_of_probabilities_is_refused(step, archive, tmp_path):
    target = tmp_path / "s.ome.zarr" / "labels" / "unet"
    picture = archive / "a.ome.zarr"
    result = step("segment", "--probabilities", picture, "--segmentation", target)
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert f"{picture}: holds picture; give a store that holds probabilities" in result.stderr
    assert not target.exists()
