"""What a prediction was asked for: masks of the same view, and tiles of blended models."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from overtile.errors import InputError
from overtile.prediction.options import refuse_other_view


@dataclass
class Shaped:
    """As much of a store as its shape, (z, y, x)."""

    shape: tuple[int, int, int]
    path: Path = Path("mask.tif")

    @property
    def shown(self) -> Path:
        """The path that a person knows it by."""
        return self.path


EDGES = st.integers(1, 5000)


@given(EDGES, EDGES, st.floats(1, 100), st.tuples(*[st.sampled_from([-1, 0, 1])] * 2))
def test_a_mask_rounded_by_up_to_a_pixel_is_of_the_same_view(y, x, factor, rounded):
    mask = [max(1, int(n / factor + 0.5) + off) for n, off in zip((y, x), rounded, strict=True)]
    assume(all(abs(m - n / factor) <= 1 for m, n in zip(mask, (y, x), strict=True)))
    refuse_other_view(Shaped((1, *mask)), Shaped((7, y, x)))


@given(EDGES, EDGES, st.integers(3, 500), st.integers(3, 500))
def test_a_mask_that_no_factor_makes_the_slide_is_refused_in_one_line(y, x, my, mx):
    # Factors along both axes, each as large or small as rounding by a pixel allows.
    low, high = max(y / (my + 1), x / (mx + 1)), min(y / (my - 1), x / (mx - 1))
    assume(abs(low - high) > 1e-9 * high)
    if low < high:
        refuse_other_view(Shaped((1, my, mx)), Shaped((1, y, x)))
        return
    words = f"mask.tif: mask is {my} x {mx} .y, x. px, the slide {y} x {x}; .* same view"
    with pytest.raises(InputError, match=words):
        refuse_other_view(Shaped((1, my, mx)), Shaped((1, y, x)))


def test_a_mask_of_another_aspect_is_refused():
    with pytest.raises(InputError, match="50 x 200"):
        refuse_other_view(Shaped((1, 50, 200)), Shaped((1, 300, 260)))
