"""The U-Net, layer by layer, for two or three spatial axes."""

from typing import cast

import torch
from torch import nn

from overtile.networks.blocks import CONV, NORM, UP, crop, initialise, max_pool
from overtile.networks.unet.family import Architecture


class UNet(nn.Module):
    """Valid convolutions, cropped skip connections: every output pixel saw only real input.

    Input (n, channels, *input_px), output (n, classes, *output_px) logits, with sizes as
    `Geometry.sizes_for` gives them: 572 -> 388 px for the paper's network.
    Source: Ronneberger et al. 2015, section 2 and figure 1, arXiv:1505.04597.
    """

    def __init__(self, architecture: Architecture):
        super().__init__()
        a = architecture
        widths = a.widths
        inputs = [a.in_channels, *widths[:-1]]
        # Dropout at the end of the contracting path: its last level and the bottom.
        drops = [0.0] * (len(a.pools) - 1) + [a.dropout] * 2
        self.down = nn.ModuleList(
            _double_conv(a, i, w, k, d)
            for i, w, k, d in zip(inputs, widths, a.kernels, drops, strict=True)
        )
        self.pool = nn.ModuleList(max_pool(p) for p in a.pools)
        self.grow = nn.ModuleList(
            nn.Sequential(UP[a.ndim](2 * w, w, p, stride=p), nn.ReLU(inplace=True))
            for w, p in zip(widths[:-1], a.pools, strict=True)
        )
        self.up = nn.ModuleList(
            _double_conv(a, 2 * w, w, k, 0.0)
            for w, k in zip(widths[:-1], a.kernels[:-1], strict=True)
        )
        self.head = CONV[a.ndim](a.width, a.classes, 1)
        self.apply(initialise)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, channels, *input_px) -> (n, classes, *output_px) logits."""
        skips = []
        for level, pool in enumerate(self.pool):
            for layer in _layers(self.down[level]):
                x = layer(x)
            skips.append(x)
            x = pool(x)
        for layer in _layers(self.down[-1]):
            x = layer(x)
        for level in reversed(range(len(self.pool))):
            x = self.grow[level](x)
            x = torch.cat([crop(skips.pop(), x.shape[2:]), x], dim=1)
            for layer in _layers(self.up[level]):
                x = layer(x)
        return self.head(x)


def _layers(block: nn.Module) -> nn.Sequential:
    """The layers of a block, to be run one by one: nothing else holds a map that is done with."""
    return cast(nn.Sequential, block)


def _double_conv(
    a: Architecture, inputs: int, outputs: int, kernel: tuple[int, ...], dropout: float
) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers.append(CONV[a.ndim](channels, outputs, kernel, bias=a.norm == "none"))
        if a.norm != "none":
            layers.append(NORM[a.norm][a.ndim](outputs, affine=True))
        layers.append(nn.ReLU(inplace=True))
    if dropout:
        layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)
