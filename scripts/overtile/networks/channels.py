"""What a network says of a pixel: named channels, how they are computed and stored."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

STEPS = 255
"""Of a stored channel, uint8."""

PROBABILITY, DISTANCE = "probability", "distance"


@dataclass(frozen=True)
class Channel:
    """One output of a network.

    kind: "probability", of one of several classes that exclude each other, which softmax makes of
    the network's logits; or "distance", pixels from 0 up, which the network gives as they are.
    scale: of one step of the stored uint8: value = stored * scale. Larger values than 255 steps are
    stored as 255.
    """

    name: str
    kind: str = PROBABILITY
    scale: float = 1 / STEPS

    @property
    def steps(self) -> float:
        """Stored steps of a value of 1."""
        return 1 / self.scale


def class_channels(classes: Sequence[str]) -> tuple[Channel, ...]:
    """The probability of each class."""
    return tuple(Channel(name) for name in classes)


def count_classes(channels: Sequence[Channel]) -> int:
    """How many channels are probabilities of classes; they come first."""
    return sum(channel.kind == PROBABILITY for channel in channels)


def activate(outputs: "torch.Tensor", channels: Sequence[Channel]) -> "torch.Tensor":
    """Values of a network's outputs, both (n, channels, *px) float32."""
    import torch

    classes = count_classes(channels)
    probabilities = outputs[:, :classes].softmax(dim=1)
    if classes == len(channels):
        return probabilities
    return torch.cat([probabilities, outputs[:, classes:].clamp(min=0)], dim=1)


def written(channels: Sequence[Channel]) -> dict:
    """What a store says of its channels, where they are not the classes alone."""
    if count_classes(channels) == len(channels):
        return {}
    return {"channels": [asdict(channel) for channel in channels]}
