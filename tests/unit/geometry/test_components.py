"""Components found block by block are those of the whole picture, whatever the blocks."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from overtile.geometry.components import IGNORE, Stitcher, label_block
from overtile.geometry.spans import plan_blocks
from tests.examples import examples

classes_of = arrays(
    np.uint8,
    st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9)),
    elements=st.sampled_from([0, 0, 1, 1, 2, IGNORE]),
)
block_sizes = st.tuples(*[st.integers(1, 9)] * 3)


def stitch(classes, edge):
    """Ids of all objects (z, y, x), found in blocks, and how many there are."""
    blocks = plan_blocks(classes.shape, edge)
    stitcher = Stitcher(classes.shape)
    for block in blocks:
        part = classes[block.slices]
        stitcher.add(block, label_block(part), part)
    numbering, count = stitcher.numbering()
    ids = np.zeros(classes.shape, dtype=np.int64)
    for block in blocks:
        ids[block.slices] = numbering[block.index][label_block(classes[block.slices])]
    return ids, count


def whole(classes):
    """The same by one call of SciPy per class, renumbered by first pixel in raster order."""
    joined = np.zeros(classes.shape, dtype=np.int64)
    for value in set(np.unique(classes).tolist()) - {0, IGNORE}:
        part, _ = ndimage.label(classes == value)
        joined[part > 0] = part[part > 0] + joined.max()
    order = [name for name in dict.fromkeys(joined.ravel().tolist()) if name]
    ids = np.zeros(classes.shape, dtype=np.int64)
    for number, name in enumerate(order, start=1):
        ids[joined == name] = number
    return ids, len(order)


@given(classes_of, block_sizes)
@settings(max_examples=examples(200), deadline=None)
def test_blocks_of_any_size_give_the_components_of_the_whole(classes, edge):
    ids, count = stitch(classes, edge)
    expected, expected_count = whole(classes)
    np.testing.assert_array_equal(ids, expected)
    assert count == expected_count


@given(arrays(np.uint8, (3, 7, 8), elements=st.integers(0, 1)), block_sizes)
@settings(max_examples=examples(60), deadline=None)
def test_two_classes_give_the_very_numbers_of_scipy(classes, edge):
    expected, count = ndimage.label(classes)
    ids, found = stitch(classes, edge)
    np.testing.assert_array_equal(ids, expected)
    assert found == count


def test_a_snake_through_many_blocks_is_one_object():
    snake = np.array([[1, 1, 1, 1, 1], [0, 0, 0, 0, 1], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]])
    ids, count = stitch(snake[None].astype(np.uint8), (1, 1, 2))
    assert count == 1
    np.testing.assert_array_equal(ids[0], snake)


def test_a_diagonal_does_not_join_and_neither_do_two_classes():
    ids, count = stitch(np.array([[[1, 0, 1], [0, 1, 2]]], dtype=np.uint8), (1, 1, 1))
    assert count == 4
    np.testing.assert_array_equal(ids, [[[1, 0, 2], [0, 3, 4]]])


def test_ignored_pixels_part_what_lies_beside_them():
    ids, count = stitch(np.array([[[1, IGNORE, 1]]], dtype=np.uint8), (1, 1, 2))
    assert count == 2
    np.testing.assert_array_equal(ids, [[[1, 0, 2]]])


def test_a_picture_without_foreground_has_no_object():
    ids, count = stitch(np.zeros((1, 3, 3), dtype=np.uint8), (1, 2, 2))
    assert count == 0
    assert not ids.any()


def test_cells_of_an_electron_micrograph_keep_their_numbers_for_every_block_size(data):
    import imagecodecs

    path = data / "em_isbi2012" / "label" / "00.png"
    classes = (imagecodecs.png_decode(path.read_bytes()) > 0).astype(np.uint8)[None, :200, :200]
    expected, count = ndimage.label(classes)
    for edge in [(1, 64, 64), (1, 200, 33), (1, 7, 200)]:
        ids, found = stitch(classes, edge)
        np.testing.assert_array_equal(ids, expected)
        assert found == count
