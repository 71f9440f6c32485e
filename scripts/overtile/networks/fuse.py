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
    if device.torch.type == "cpu" and torch.backends.mkldnn.is_available():
        for layers in (*network.down, *network.up):
            _use_onednn(layers)
    return Ready(network, dtype, layout).eval()


class OneDnnConvolution(nn.Module):
    """A convolution of stride 1 without padding, by oneDNN whatever its size.

    torch's own choice for small float32 volumes unfolds them, 27 values per voxel: 3 to 6 times
    slower, with up to 12 times the memory.
    """

    def __init__(self, convolution: nn.Module):
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias
        self._padding, self._stride = [[n] * (self.weight.ndim - 2) for n in (0, 1)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, inputs, *px) -> (n, outputs, *smaller px)."""
        stride = dilation = self._stride
        return torch.mkldnn_convolution(
            x, self.weight, self.bias, self._padding, stride, dilation, 1
        )


def _use_onednn(layers: nn.Sequential) -> None:
    """Replace each convolution, in place."""
    for place, layer in enumerate(layers):
        if isinstance(layer, tuple(CONV.values())):
            layers[place] = OneDnnConvolution(layer)


def _fold(layers: nn.Sequential) -> None:
    """Fold each batch normalisation into the convolution before it, in place.

    Instance normalisation stays: its statistics are those of the pixels that it sees.
    """
    for place in range(len(layers) - 1):
        if isinstance(layers[place + 1], tuple(NORM["batch"].values())):
            layers[place] = fuse_conv_bn_eval(layers[place], layers[place + 1])
            layers[place + 1] = nn.Identity()
