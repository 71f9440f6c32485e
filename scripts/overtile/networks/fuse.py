"""A trained network made ready to run: batch normalisation folded in, one arithmetic throughout."""

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from overtile.networks.device import Device
from overtile.networks.unet import CHANNELS_LAST, CONV, NORM, UNet


class Ready(nn.Module):
    """A network whose weights have the device's precision; takes float32, returns float32."""

    def __init__(self, network: nn.Module, dtype: torch.dtype, layout: torch.memory_format):
        super().__init__()
        self.network, self._dtype, self._layout = network, dtype, layout

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, channels, *input_px) -> (n, classes, *output_px) logits."""
        return self.network(x.to(self._dtype, memory_format=self._layout)).float()


def ready_for_inference(network: UNet, device: Device) -> Ready:
    """Fold batch normalisation into convolutions, then move to device, precision and layout.

    The network must have its weights; it is changed. Equal to it within rounding.
    """
    network.eval()
    for layers in (*network.down, *network.up):
        _fold(layers)
    dtype = torch.float32 if device.precision == "fp32" else torch.bfloat16
    layout = CHANNELS_LAST[next(n for n, kind in CONV.items() if isinstance(network.head, kind))]
    network = network.to(device.torch, dtype, memory_format=layout)
    return Ready(network, dtype, layout).eval()


def _fold(layers: nn.Sequential) -> None:
    """Fold each batch normalisation into the convolution before it, in place."""
    for place in range(len(layers) - 1):
        if isinstance(layers[place + 1], tuple(NORM.values())):
            layers[place] = fuse_conv_bn_eval(layers[place], layers[place + 1])
            layers[place + 1] = nn.Identity()
