"""Losses: the paper's weighted cross-entropy, and the same with a Dice term."""

import torch
from torch.nn.functional import cross_entropy, one_hot

from overtile.registry import Registry


def weighted_cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Mean over pixels of w(x) times the softmax cross-entropy.

    logits (n, classes, *px) float32, labels (n, *px) int64, weights (n, *px) float32; pixels of
    weight 0 (ignored ones) do not count.
    Source: Ronneberger et al. 2015, equation 1, arXiv:1505.04597, divided by the pixel count.
    """
    per_pixel = weights * cross_entropy(logits, labels, reduction="none")
    return per_pixel.sum() / (weights > 0).sum().clamp(min=1)


def soft_dice(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """1 - mean soft Dice over all classes, over all pixels of the batch that count.

    Shapes as in `weighted_cross_entropy`. As in `geometry.dice` a class that is neither there nor
    predicted does not count: it costs nothing. Other than in a score the background is averaged in:
    where class weights are balanced, it is what keeps the foreground from growing.
    Source: Milletari et al. 2016, section 3, doi:10.1109/3DV.2016.79, with linear denominators.
    """
    counts = (weights > 0).unsqueeze(1)
    probability = logits.softmax(dim=1) * counts
    truth = one_hot(labels, logits.shape[1]).movedim(-1, 1) * counts
    axes = (0, *range(2, logits.ndim))
    overlap = (probability * truth).sum(axes)
    total = (probability + truth).sum(axes)
    return 1 - ((2 * overlap + 1) / (total + 1)).mean()


def cross_entropy_dice(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """The sum of both, of the same shapes."""
    return weighted_cross_entropy(logits, labels, weights) + soft_dice(logits, labels, weights)


LOSSES = Registry(
    {
        "cross_entropy": "overtile.training.losses:weighted_cross_entropy",
        "cross_entropy_dice": "overtile.training.losses:cross_entropy_dice",
    }
)
"""By the name that a plan has: functions of logits, labels and weights."""
