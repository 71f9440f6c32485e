"""Smaller copies of a picture, for viewers and reports."""

from collections.abc import Sequence
from types import EllipsisType

import numpy as np

from overtile.geometry.spans import Block
from overtile.stores.layout import pyramid_factors
from overtile.stores.writer import StoreWriter


def block_mean(pixels: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    """Mean over boxes of the last three axes; a box cut by the border repeats its last pixel.

    Integers are rounded to the nearest.
    """
    boxes = _boxes(pixels, factors)
    mean = boxes.mean(axis=(-5, -3, -1), dtype=np.float64)
    return (np.rint(mean) if pixels.dtype.kind in "iu" else mean).astype(pixels.dtype)


def first_of_block(pixels: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    """First pixel of each box: labels are names, not quantities, and cannot be averaged."""
    every: tuple[slice | EllipsisType, ...] = (..., *(slice(None, None, f) for f in factors))
    return pixels[every]


def _boxes(pixels: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    extra = pixels.ndim - 3
    missing = [-n % f for n, f in zip(pixels.shape[extra:], factors, strict=True)]
    padded = np.pad(pixels, [(0, 0)] * extra + [(0, m) for m in missing], mode="edge")
    shape = list(padded.shape[:extra])
    for n, f in zip(padded.shape[extra:], factors, strict=True):
        shape += [n // f, f]
    return padded.reshape(shape)


def add_pyramid(
    writer: StoreWriter, axes: Sequence[str], pixel_size_um: Sequence[float] | None, is_label: bool
) -> list[tuple[int, ...]]:
    """Write the levels below level "0" of a store; return each level's (z, y, x) factors."""
    reduce = first_of_block if is_label else block_mean
    above = writer.array("0")
    total: tuple[int, ...] = (1, 1, 1)
    all_factors = [total]
    levels = pyramid_factors(above.shape[-3:], pixel_size_um or (1.0, 1.0, 1.0))
    for level, (factors, shape) in enumerate(levels, start=1):
        array = writer.add_array(str(level), (*above.shape[:-3], *shape), above.dtype, axes)

        def shrink(block: Block, source=above, factors=factors) -> tuple[np.ndarray, dict]:
            box = tuple(
                slice(a * f, b * f)
                for a, b, f in zip(block.start, block.stop, factors, strict=True)
            )
            return reduce(np.asarray(source[(..., *box)]), factors), {}

        writer.fill(str(level), shrink, label=f"pyramid level {level}")
        total = tuple(t * f for t, f in zip(total, factors, strict=True))
        all_factors.append(total)
        above = array
    return all_factors
