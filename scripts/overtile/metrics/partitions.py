"""How well objects are kept apart and together: Rand and information scores."""

import math
from collections.abc import Mapping

import numpy as np

from overtile.metrics.checks import refuse_other
from overtile.metrics.columns import Totals
from overtile.metrics.metric import Comparison, Metric, Score
from overtile.metrics.pairs import Pairs


def partition_scores(pairs: Pairs) -> dict[str, dict[str, float] | None]:
    """Rand and information scores within the reference's foreground, as in the ISBI challenge.

    Segmented background counts as one object. Borders are not thinned beforehand, other than in
    the challenge's own script. Takes hardly any memory: all follows from how many parts of each
    size there are.

    Parameters
    ----------
    pairs : Pairs
        Pixels by pair of objects.

    Returns
    -------
    dict
        rand: V-split and V-merge, low where objects are split or merged, and their F-score; as
        `skimage.metrics.adapted_rand_error`, whose "precision" is V-split. information: entropies
        in bits, H(S|T) of splits and H(T|S) of merges, as
        `skimage.metrics.variation_of_information`, and the F-score 2 I / (H(S) + H(T)).
        Both None where there is no reference foreground.

    References
    ----------
    Arganda-Carreras et al. 2015, doi:10.3389/fnana.2015.00142.

    Examples
    --------
    >>> from overtile.metrics.pairs import count_pairs
    >>> ids, cell = np.array([1, 1, 2, 2], np.uint8), np.ones(4, np.uint8)
    >>> merged = count_pairs([ids, cell, np.ones(4, np.uint8), cell])
    >>> partition_scores(merged)["information"]["merges_bits"]
    1.0
    """
    inside = pairs.of_reference
    if not inside.any():
        return {"rand": None, "information": None}
    sizes = _all_sizes(pairs, inside)
    return {
        "rand": _rand(*map(_pixel_pairs, sizes)),
        "information": _information(*map(_entropy_bits, sizes)),
    }


Sizes = list[tuple[int, int]]
"""Pixels of a part, and how many parts have so many; by increasing size."""


def _all_sizes(pairs: Pairs, rows: np.ndarray) -> tuple[Sizes, Sizes, Sizes]:
    """Of the parts of the reference, of the segmentation, and of those that both share."""
    pixels = pairs.pixels[rows]
    reference = Totals.of(pairs.reference_id[rows], pairs.reference_class[rows], pixels).pixels
    segmented = Totals.of(pairs.segmented_id[rows], pairs.segmented_class[rows], pixels).pixels
    return _sizes(reference), _sizes(segmented), _sizes(pixels)


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
    return {"f1": _rand_f1(split, merge), "split": split, "merge": merge}


def _rand_f1(split: float, merge: float) -> float:
    return 2 * split * merge / (split + merge) if split + merge else 0.0


def _information(reference: float, segmented: float, shared: float) -> dict[str, float]:
    """From entropies in bits; shared: of the pair of parts that a pixel is in."""
    mutual, either = max(0.0, reference + segmented - shared), reference + segmented
    return {
        "f1": 2 * mutual / either if either > 0 else 1.0,
        "splits_bits": max(0.0, shared - reference),
        "merges_bits": max(0.0, shared - segmented),
    }


def measure(comparison: Comparison) -> dict[str, object]:
    """Rand and information scores."""
    return dict(partition_scores(comparison.agreement.pairs))


COLUMNS = {
    "rand": {"f1": "rand_f1", "split": "rand_split", "merge": "rand_merge"},
    "information": {
        "f1": "information_f1",
        "splits_bits": "splits_bits",
        "merges_bits": "merges_bits",
    },
}
"""Of scores.tsv, by key and name within it of a score file."""


def read(values: Mapping) -> dict[str, object]:
    """All scores; the Rand F-score must be that of V-split and V-merge."""
    rand = values["rand"]
    if rand is not None:
        refuse_other("rand: f1", rand["f1"], _rand_f1(rand["split"], rand["merge"]))
    return {
        column: None if values[key] is None else values[key][name]
        for key, columns in COLUMNS.items()
        for name, column in columns.items()
    }


METRIC = Metric(
    keys=tuple(COLUMNS),
    measure=measure,
    read=read,
    scores=(
        Score("rand_f1", title="VRand", in_slides=False),
        Score("rand_split", in_means=False, in_slides=False),
        Score("rand_merge", in_means=False, in_slides=False),
        Score("information_f1", title="VInfo", in_slides=False),
        Score("splits_bits", highest=math.inf, in_means=False, in_slides=False),
        Score("merges_bits", highest=math.inf, in_means=False, in_slides=False),
    ),
    explanation="How well the slide is divided into the same objects, inside the reference's "
    "objects. Touching objects that were merged, and objects that were split, lower them. As in "
    "the ISBI challenge (Arganda-Carreras et al. 2015), without its thinning of borders.",
)
