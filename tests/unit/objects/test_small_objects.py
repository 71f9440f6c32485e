"""Objects that are too small become background, whatever the shards."""

import numpy as np
import pytest
from scipy import ndimage

from overtile.geometry.components import IGNORE, Stitcher, label_block
from overtile.geometry.spans import plan_blocks
from overtile.stores import layout
from overtile.stores.labels import write_component_store
from overtile.stores.store import Store


@pytest.mark.parametrize("block", [(1, 40, 40), (1, 7, 9), (1, 1, 40)])
@pytest.mark.parametrize("min_px", [0, 1, 2, 5, 30])
def test_sizes_count_over_all_blocks(block, min_px):
    classes = (np.random.default_rng(0).random((1, 40, 40)) < 0.5).astype(np.uint8)
    whole, _ = ndimage.label(classes)
    sizes = np.bincount(whole.ravel())
    expected = np.unique(whole[(whole > 0) & (sizes[whole] >= min_px)])
    stitcher = Stitcher(classes.shape)
    blocks = plan_blocks(classes.shape, block)
    for one in blocks:
        stitcher.add(one, label_block(classes[one.slices]), classes[one.slices])
    numbering, count = stitcher.numbering(min_px)
    assert count == len(expected)
    found = np.zeros_like(whole)
    for one in blocks:
        found[one.slices] = numbering[one.index][label_block(classes[one.slices])]
    renumbered = np.searchsorted(expected, whole) + 1
    assert np.array_equal(found, np.where(np.isin(whole, expected), renumbered, 0))


def test_class_map_and_objects_agree_and_ignored_pixels_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "PICTURE_CHUNK", (1, 4, 4))
    monkeypatch.setattr(layout, "PICTURE_SHARD", (1, 8, 8))
    classes = np.zeros((1, 20, 20), np.uint8)
    classes[0, 2:4, 6:10] = 1  # 8 px over two shards
    classes[0, 10, 10] = 1
    classes[0, 15, 2:6] = 2
    classes[0, 18] = IGNORE
    folder = tmp_path / "s"
    write_component_store(
        *(folder, "k", classes.shape, lambda block: classes[block.slices]),
        *(["background", "a", "b"], None, "segmentation", 5),
    )
    store = Store.open(folder, "labels")
    kept = np.where(classes == IGNORE, IGNORE, 0)
    kept[0, 2:4, 6:10] = 1
    assert np.array_equal(store.label_classes().array[:], kept)
    assert np.array_equal(store.array[:], kept == 1)
    assert store.attributes["objects"] == 1
