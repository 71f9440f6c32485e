"""The U-Net, layer by layer, for two or three spatial axes."""

import torch
from torch import nn

from overtile.networks.architecture import Architecture

CONV = {2: nn.Conv2d, 3: nn.Conv3d}
UP = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
NORM = {
    "batch": {2: nn.BatchNorm2d, 3: nn.BatchNorm3d},
    "instance": {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d},
}
CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


class UNet(nn.Module):
    """Valid convolutions, cropped skip connections: every output pixel saw only real input.

    Input (n, channels, *input_px), output (n, classes, *output_px) logits, with sizes as
    `Architecture.sizes_for` gives them: 572 -> 388 px for the paper's network.
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
        self.pool = nn.ModuleList(_pool(p) for p in a.pools)
        self.grow = nn.ModuleList(
            nn.Sequential(UP[a.ndim](2 * w, w, p, stride=p), nn.ReLU(inplace=True))
            for w, p in zip(widths[:-1], a.pools, strict=True)
        )
        self.up = nn.ModuleList(
            _double_conv(a, 2 * w, w, k, 0.0)
            for w, k in zip(widths[:-1], a.kernels[:-1], strict=True)
        )
        self.head = CONV[a.ndim](a.width, a.classes, 1)
        self.apply(_initialise)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, channels, *input_px) -> (n, classes, *output_px) logits."""
        skips = []
        for level, pool in enumerate(self.pool):
            for layer in self.down[level]:  # one by one: nothing else holds a map that is done with
                x = layer(x)
            skips.append(x)
            x = pool(x)
        for layer in self.down[-1]:
            x = layer(x)
        for level in reversed(range(len(self.pool))):
            x = self.grow[level](x)
            x = torch.cat([_crop(skips.pop(), x), x], dim=1)
            for layer in self.up[level]:
                x = layer(x)
        return self.head(x)


def _double_conv(a: Architecture, inputs: int, outputs: int, kernel, dropout: float):
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers.append(CONV[a.ndim](channels, outputs, kernel, bias=a.norm == "none"))
        if a.norm != "none":
            layers.append(NORM[a.norm][a.ndim](outputs, affine=True))
        layers.append(nn.ReLU(inplace=True))
    if dropout:
        layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)


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


def _pool(factors: tuple[int, ...]) -> nn.Module:
    return nn.MaxPool2d(factors) if len(factors) == 2 else BlockMax(factors)


def _crop(skip: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """The centre of a skip connection, as large as the map that it joins."""
    for axis in range(2, skip.ndim):
        lost = skip.shape[axis] - like.shape[axis]
        skip = skip.narrow(axis, lost // 2, like.shape[axis])
    return skip


def _initialise(module: nn.Module) -> None:
    """He initialisation: normal, standard deviation sqrt(2 / incoming connections)."""
    if isinstance(module, (*CONV.values(), *UP.values())):
        if isinstance(module, tuple(UP.values())):
            incoming = module.in_channels  # kernel = stride: one tap per output pixel
        else:
            incoming = module.weight[0].numel()
        nn.init.normal_(module.weight, std=(2 / incoming) ** 0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
