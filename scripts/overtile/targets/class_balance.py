"""The class term of the weight map: rare classes weigh more."""

from collections.abc import Sequence


def class_weights(counts: Sequence[int]) -> list[float]:
    """Weights w_c that give each class the same total weight, mean weight 1 over all pixels.

    counts: pixels of each class in the training set. A class without pixels gets 0.
    Source: Ronneberger et al. 2015, section 3, arXiv:1505.04597.
    """
    total, present = sum(counts), sum(1 for n in counts if n)
    return [total / (present * n) if n else 0.0 for n in counts]
