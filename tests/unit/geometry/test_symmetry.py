"""Flips and quarter turns: the groups that they should be, and undone exactly."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overtile.geometry.symmetry import KINDS, Symmetry, symmetries

COUNTS = {
    ("none", 2): 1,
    ("flips", 2): 4,
    ("flips_and_turns", 2): 8,
    ("none", 3): 1,
    ("flips", 3): 8,
    ("flips_and_turns", 3): 16,
}


def numbered(*shape):
    """An array in which no value stands twice: what happens to it says all."""
    return np.arange(np.prod(shape)).reshape(shape)


def images(kind, shape):
    """The bytes and shapes that the symmetries make of an array."""
    turned = [s.apply(numbered(*shape)) for s in symmetries(kind, len(shape))]
    return [(t.shape, t.tobytes()) for t in turned]


@given(
    st.sampled_from(KINDS),
    st.lists(st.integers(1, 3), max_size=2),
    st.lists(st.integers(1, 5), min_size=2, max_size=3),
)
def test_undoing_what_was_applied_gives_the_array_whatever_axes_lead(kind, leading, edges):
    array = numbered(*leading, *edges)
    for symmetry in symmetries(kind, len(edges)):
        np.testing.assert_array_equal(symmetry.undo(symmetry.apply(array)), array)
        np.testing.assert_array_equal(symmetry.apply(symmetry.undo(array)), array)


@pytest.mark.parametrize(("kind", "ndim"), COUNTS)
def test_there_are_as_many_as_there_should_be_all_different_and_the_identity_first(kind, ndim):
    shape = (3,) * ndim
    found = images(kind, shape)
    assert len(found) == len(set(found)) == COUNTS[kind, ndim]
    assert found[0] == (shape, numbered(*shape).tobytes())


def test_those_of_a_square_are_its_quarter_turns_and_their_mirror_images():
    square = numbered(4, 4)
    expected = {np.rot90(s, n).tobytes() for s in (square, square[::-1]) for n in range(4)}
    assert {pixels for _, pixels in images("flips_and_turns", (4, 4))} == expected


@pytest.mark.parametrize(("kind", "ndim"), COUNTS)
def test_one_after_another_is_again_one_of_them(kind, ndim):
    shape = (3,) * ndim
    group = symmetries(kind, ndim)
    both = {a.apply(b.apply(numbered(*shape))).tobytes() for a, b in product(group, group)}
    assert both == {pixels for _, pixels in images(kind, shape)}


def test_turning_keeps_z_apart_from_y_and_x():
    shapes = {s.apply(numbered(2, 3, 5)).shape for s in symmetries("flips_and_turns", 3)}
    assert shapes == {(2, 3, 5), (2, 5, 3)}


def test_a_mirrored_axis_is_the_one_that_is_named():
    array = numbered(2, 2, 3, 4)
    np.testing.assert_array_equal(
        Symmetry((True, False, False), swap=False).apply(array), array[:, ::-1]
    )
    np.testing.assert_array_equal(
        Symmetry((False, True), swap=True).apply(array), array[..., ::-1].swapaxes(-1, -2)
    )


def test_an_unknown_kind_is_refused_with_those_allowed():
    with pytest.raises(ValueError, match="'turns'; allowed: none, flips, flips_and_turns"):
        symmetries("turns", 2)
