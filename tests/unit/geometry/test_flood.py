"""Seeds flood their surroundings as the rounds are defined, and the same from every block."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from overtile.geometry.flood import flood
from tests.examples import examples
from tests.unit import naive_objects as naive


@st.composite
def pictures(draw, lengths=((1, 2, 5, 9, 12), (1, 3, 4, 6))):
    """Foreground, classes and seeds of two or three axes, with many equal values, or few."""
    shape = draw(
        st.one_of(
            st.tuples(*[st.sampled_from(lengths[0])] * 2),
            st.tuples(*[st.sampled_from(lengths[1])] * 3),
        )
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    foreground = rng.integers(1, draw(st.sampled_from([3, 7, 256])), shape).astype(np.uint8)
    classes = rng.integers(1, draw(st.sampled_from([2, 3])), shape).astype(np.uint8)
    classes[rng.random(shape) < draw(st.sampled_from([0, 0.2, 0.5]))] = 0
    seeds = rng.integers(1, draw(st.sampled_from([2, 5, 99])), shape)
    seeds[(rng.random(shape) > draw(st.sampled_from([0.02, 0.1, 0.4]))) | (classes == 0)] = 0
    return foreground, classes, seeds.astype(draw(st.sampled_from([np.uint32, np.uint64])))


rounds = st.sampled_from([1, 2, 3, 5, 16, 200])


@given(pictures(), rounds)
@settings(max_examples=examples(300), deadline=None)
def test_ids_are_those_of_the_rounds_taken_literally(picture, grow_px):
    before = [part.copy() for part in picture]
    found = flood(*picture, grow_px)
    assert (found.dtype, found.shape) == (picture[2].dtype, picture[2].shape)
    np.testing.assert_array_equal(found, naive.flood(*picture, grow_px))
    for part, copy in zip(picture, before, strict=True):
        np.testing.assert_array_equal(part, copy)


@given(pictures(), st.sampled_from([1, 2, 3, 5]), st.data())
@settings(max_examples=examples(200), deadline=None)
def test_a_block_with_its_halo_has_the_ids_of_the_whole(picture, grow_px, data):
    read, keep, inside = [], [], []
    for n in picture[0].shape:
        start = data.draw(st.integers(0, n - 1))
        stop = data.draw(st.integers(start + 1, n))
        first = max(0, start - grow_px)
        read.append(slice(first, stop + grow_px))
        keep.append(slice(start, stop))
        inside.append(slice(start - first, stop - first))
    block = flood(*(part[tuple(read)] for part in picture), grow_px)[tuple(inside)]
    np.testing.assert_array_equal(block, flood(*picture, grow_px)[tuple(keep)])


def bottlenecks(foreground, classes, seeds, grow_px):
    """Of each pixel the largest least value on any path of at most grow_px steps from a seed."""
    best = np.where(seeds > 0, 256, 0)
    for _ in range(grow_px):
        after = best.copy()
        for place in map(tuple, np.argwhere((classes > 0) & (seeds == 0))):
            for near in naive.neighbours(place, best.shape):
                if classes[near] == classes[place]:
                    after[place] = max(after[place], min(best[near], foreground[place]))
        best = after
    return best


@given(pictures([(1, 2, 5, 9), (1, 3, 4)]), st.sampled_from([1, 2, 3, 9]))
@settings(max_examples=examples(60), deadline=None)
def test_an_object_comes_along_a_path_with_the_largest_bottleneck_there_is(picture, grow_px):
    foreground, classes, seeds = picture
    found, best = flood(*picture, grow_px), bottlenecks(*picture, grow_px)
    np.testing.assert_array_equal(found > 0, best > 0)
    for name in np.unique(seeds[seeds > 0]):
        own, others = seeds == name, (seeds > 0) & (seeds != name)
        alone = bottlenecks(foreground, np.where(others, 0, classes), seeds * own, grow_px)
        np.testing.assert_array_equal(alone[found == name], best[found == name])


@given(pictures())
@settings(max_examples=examples(100), deadline=None)
def test_with_room_enough_every_object_is_in_one_piece(picture):
    foreground, classes, seeds = picture
    seeds = np.where(seeds > 0, np.arange(1, seeds.size + 1).reshape(seeds.shape), 0)
    found = flood(foreground, classes, seeds.astype(np.uint32), 2000)
    for name in np.unique(found[found > 0]):
        assert ndimage.label(found == name)[1] == 1


def line(foreground, seeds, grow_px, classes=None):
    foreground, seeds = np.array([foreground], np.uint8), np.array([seeds], np.uint32)
    classes = (foreground > 0).astype(np.uint8) if classes is None else np.array([classes])
    return flood(foreground, classes.astype(np.uint8), seeds, grow_px)[0].tolist()


def test_seeds_reach_as_many_steps_as_they_may_and_not_further():
    assert line([9] * 7, [1, 0, 0, 0, 0, 0, 0], 3) == [1, 1, 1, 1, 0, 0, 0]
    assert line([9] * 7, [1, 0, 0, 0, 0, 0, 2], 9) == [1, 1, 1, 1, 2, 2, 2]


def test_nothing_crosses_background_or_another_class():
    assert line([9, 9, 0, 9, 9], [1, 0, 0, 0, 0], 9) == [1, 1, 0, 0, 0]
    assert line([9] * 5, [1, 0, 0, 0, 0], 9, [1, 1, 2, 2, 1]) == [1, 1, 0, 0, 0]


def test_seeds_meet_where_the_foreground_is_least():
    assert line([9, 8, 7, 6, 5, 4, 5, 9], [1, 0, 0, 0, 0, 0, 0, 2], 9) == [1, 1, 1, 1, 1, 2, 2, 2]


def test_a_longer_path_of_larger_foreground_wins_and_takes_what_lies_behind():
    foreground = np.array([[9, 9, 9, 9], [9, 0, 0, 9], [9, 2, 9, 8], [9, 0, 5, 0]], np.uint8)
    seeds = np.zeros((4, 4), np.uint32)
    seeds[2, 0], seeds[0, 0] = 1, 2
    classes = (foreground > 0).astype(np.uint8)
    expected = [[2, 2, 2, 2], [1, 0, 0, 2], [1, 1, 2, 2], [1, 0, 2, 0]]
    np.testing.assert_array_equal(flood(foreground, classes, seeds, 20), expected)
    soon = [[2, 2, 2, 0], [1, 0, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0]]
    np.testing.assert_array_equal(flood(foreground, classes, seeds, 2), soon)


def test_of_equal_paths_the_smaller_number_wins_and_large_numbers_stay():
    large = 2**63 + 5
    seeds = np.array([[large, 0, large + 1]], np.uint64)
    ones = np.ones((1, 3), np.uint8)
    assert flood(ones, ones, seeds, 4).tolist() == [[large, large, large + 1]]


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (1, 1, 1), (1, 5, 1), (4, 1, 3)])
def test_pictures_of_any_shape_are_flooded(shape):
    seeds = np.zeros(shape, np.uint32)
    ones = np.ones(shape, np.uint8)
    assert not flood(ones, ones, seeds, 9).any()
    seeds.flat[0] = 3
    assert (flood(ones, ones, seeds, 99) == 3).all()


def test_seeds_in_background_and_parts_of_other_shapes_are_refused():
    ones = np.ones((2, 3), np.uint8)
    seeds = np.eye(2, 3, dtype=np.uint32)
    with pytest.raises(ValueError, match="seeds where there is a class only"):
        flood(ones, 1 - np.eye(2, 3, dtype=np.uint8), seeds, 1)
    for parts in ((ones.T, ones, seeds), (ones, ones.T, seeds), (ones, ones, seeds.T)):
        with pytest.raises(ValueError, match="allowed: one shape"):
            flood(*parts, 1)
