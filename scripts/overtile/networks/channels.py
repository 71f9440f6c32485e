"""What a network says of a pixel: named channels, how they are computed and stored."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

STEPS = 255
"""Of a stored channel, uint8."""


@dataclass(frozen=True)
class Channel:
    """One output of a network, or one channel of a store of predictions.

    kind: "probability", of one of several classes that exclude each other, which softmax makes of
    the network's logits; "distance", pixels from 0 up, which the network gives as they are. In
    stores also "class", the number of the most probable one, and "uncertainty".
    scale: of one step of the stored uint8: value = stored * scale. Values of more than 255 steps
    are stored as 255.
    """

    name: str
    kind: str = "probability"
    scale: float = 1 / STEPS

    @property
    def steps(self) -> float:
        """Stored steps of a value of 1."""
        return 1 / self.scale


def class_channels(classes: Sequence[str]) -> tuple[Channel, ...]:
    """The probability of each class.

    Examples
    --------
    >>> [channel.name for channel in class_channels(["ground", "cell"])]
    ['ground', 'cell']
    """
    return tuple(Channel(name) for name in classes)


def count_classes(channels: Sequence[Channel]) -> int:
    """How many channels are probabilities of classes; they come first."""
    return sum(channel.kind == "probability" for channel in channels)


def activate(outputs: "torch.Tensor", channels: Sequence[Channel]) -> "torch.Tensor":
    """What a network says, from its outputs.

    Parameters
    ----------
    outputs : torch.Tensor
        (n, channels, *px) float32: logits of the classes, then other channels.
    channels : sequence of Channel
        What these are.

    Returns
    -------
    torch.Tensor
        Of the same shape and dtype: probabilities, then the others, none below 0.
    """
    import torch

    classes = count_classes(channels)
    probabilities = outputs[:, :classes].softmax(dim=1)
    if classes == len(channels):
        return probabilities
    return torch.cat([probabilities, outputs[:, classes:].clamp(min=0)], dim=1)


def stored_channels(
    channels: Sequence[Channel], keep: str, uncertainty: bool
) -> tuple[Channel, ...]:
    """What a store holds of a network's channels.

    Parameters
    ----------
    channels : sequence of Channel
        Of the network, classes first.
    keep, uncertainty
        As in `settings.prediction.Wanted`.

    Returns
    -------
    tuple of Channel
        One for each index along the first axis of the stored array.

    Examples
    --------
    >>> [c.name for c in stored_channels(class_channels(["ground", "cell"]), "classes", True)]
    ['class', 'uncertainty']
    """
    classes = count_classes(channels)
    first = channels[:classes] if keep == "probabilities" else [Channel("class", "class", 1.0)]
    last = [Channel("uncertainty", "uncertainty")] * uncertainty
    return (*first, *channels[classes:], *last)


def written(channels: Sequence[Channel], stored: Sequence[Channel]) -> dict:
    """What a store says of its channels: nothing for classes alone, whose names it has.

    channels: of the network. stored: of the store.
    """
    if count_classes(channels) == len(channels):
        return {}
    return {"channels": [asdict(channel) for channel in stored]}


def channels_of(attributes: Mapping[str, Any]) -> tuple[Channel, ...]:
    """Channels of a store of predictions, in their order, by its attributes."""
    if "channels" in attributes:
        return tuple(Channel(**channel) for channel in attributes["channels"])
    wanted = attributes.get("wanted", {})
    classes = class_channels(attributes["class_names"])
    keep = wanted.get("keep", "probabilities")
    return stored_channels(classes, keep, wanted.get("uncertainty", False))
