"""Parts that families share, for two and three spatial axes."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

CONV: dict[int, type[nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
UP: dict[int, type[nn.Module]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
NORM: dict[str, dict[int, type[nn.Module]]] = {
    "batch": {2: nn.BatchNorm2d, 3: nn.BatchNorm3d},
    "instance": {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d},
}
CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


class BlockMax(nn.Module):
    """Maximum over boxes of a volume.

    As MaxPool3d with stride = kernel, whose gradient torch cannot repeat exactly on CUDA.
    """

    def __init__(self, factors: tuple[int, ...]):
        super().__init__()
        self.factors = factors

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, channels, z, y, x) -> the same divided by the factors."""
        for axis, factor in enumerate(self.factors, start=2):
            if factor > 1:
                x = x.unflatten(axis, (-1, factor)).amax(axis + 1)
        return x


def max_pool(factors: tuple[int, ...]) -> nn.Module:
    """Maximum over boxes of pixels with these edges, one for each axis."""
    return nn.MaxPool2d(factors) if len(factors) == 2 else BlockMax(factors)


def crop(x: torch.Tensor, size_px: Sequence[int]) -> torch.Tensor:
    """The centre of a feature map.

    Parameters
    ----------
    x : torch.Tensor
        Of shape (n, channels, *px).
    size_px : sequence of int
        Edges of the centre in pixels, no longer than those of `x`.

    Returns
    -------
    torch.Tensor
        A view of shape (n, channels, *size_px); of an odd number of pixels too many, one more is
        lost at the end.
    """
    for axis, size in enumerate(size_px, start=2):
        lost = x.shape[axis] - size
        x = x.narrow(axis, lost // 2, size)
    return x


def use_layout(network: nn.Module, ndim: int) -> nn.Module:
    """A network of ndim axes with its weights in the order of pixels, channels last."""
    return network.to(memory_format=CHANNELS_LAST[ndim])  # type: ignore[call-overload]  # as documented


def initialise(module: nn.Module) -> None:
    """He initialisation: normal, standard deviation sqrt(2 / incoming connections)."""
    if isinstance(module, _ConvNd):
        if isinstance(module, tuple(UP.values())):
            incoming = module.in_channels  # kernel = stride: one tap per output pixel
        else:
            incoming = module.weight[0].numel()
        nn.init.normal_(module.weight, std=(2 / incoming) ** 0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
