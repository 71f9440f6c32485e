"""How well objects are kept apart and together: Rand and information scores."""

import math

import numpy as np

from overtile.metrics.columns import Totals
from overtile.metrics.pairs import Pairs


def partition_scores(pairs: Pairs) -> dict:
    """Rand and information scores within the reference's foreground, as in the ISBI challenge.

    rand: V-split and V-merge (low where reference objects are split or merged) and their F-score
    (`skimage.metrics.adapted_rand_error`, whose "precision" is V-split). information: conditional
    entropies in bits, H(S|T) for splits and H(T|S) for merges
    (`skimage.metrics.variation_of_information`), and the F-score 2 I / (H(S) + H(T)).
    Segmented background counts as one object; borders are not thinned beforehand, other than in
    the challenge's own script. None where there is no reference foreground.
    All follow from how many parts of each size there are, which costs hardly any memory.
    Source: Arganda-Carreras et al. 2015, doi:10.3389/fnana.2015.00142.
    """
    inside = pairs.of_reference
    if not inside.any():
        return {"rand": None, "information": None}
    pixels = pairs.pixels[inside]
    reference = _sizes(
        Totals.of(pairs.reference_id[inside], pairs.reference_class[inside], pixels).pixels
    )
    segmented = _sizes(
        Totals.of(pairs.segmented_id[inside], pairs.segmented_class[inside], pixels).pixels
    )
    shared = _sizes(pixels)
    return {
        "rand": _rand(*map(_pixel_pairs, (reference, segmented, shared))),
        "information": _information(*map(_entropy_bits, (reference, segmented, shared))),
    }


Sizes = list[tuple[int, int]]
"""Pixels of a part, and how many parts have so many; by increasing size."""


def _sizes(pixels: np.ndarray) -> Sizes:
    sizes, times = np.unique(pixels, return_counts=True)
    return list(zip(sizes.tolist(), times.tolist(), strict=True))


def _pixel_pairs(sizes: Sizes) -> int:
    """Ordered pairs of two pixels of one part."""
    return sum(size * (size - 1) * times for size, times in sizes)


def _entropy_bits(sizes: Sizes) -> float:
    """Entropy of the part that a pixel is in."""
    total = sum(size * times for size, times in sizes)
    return math.fsum(size * times / total * math.log2(total / size) for size, times in sizes)


def _rand(reference: int, segmented: int, shared: int) -> dict[str, float]:
    """From pairs of pixels; objects of one pixel have none, and nothing of them is wrong."""
    split = shared / reference if reference else 1.0
    merge = shared / segmented if segmented else 1.0
    f1 = 2 * split * merge / (split + merge) if split + merge else 0.0
    return {"f1": f1, "split": split, "merge": merge}


def _information(reference: float, segmented: float, shared: float) -> dict[str, float]:
    """From entropies in bits; shared: of the pair of parts that a pixel is in."""
    mutual, either = max(0.0, reference + segmented - shared), reference + segmented
    return {
        "f1": 2 * mutual / either if either > 0 else 1.0,
        "splits_bits": max(0.0, shared - reference),
        "merges_bits": max(0.0, shared - segmented),
    }
