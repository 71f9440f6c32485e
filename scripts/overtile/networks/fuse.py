"""A trained network made ready to run: batch normalisation folded in, one arithmetic throughout."""

from typing import TypeGuard, cast

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from overtile.networks.blocks import CHANNELS_LAST, use_layout
from overtile.networks.device import Device


class Ready(nn.Module):
    """A network whose weights have the device's precision; takes float32, returns float32."""

    def __init__(self, network: nn.Module, dtype: torch.dtype, layout: torch.memory_format):
        super().__init__()
        self.network, self._dtype, self._layout = network, dtype, layout

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, channels, *input_px) -> (n, classes, *output_px) logits."""
        return self.network(x.to(self._dtype, memory_format=self._layout)).float()


def ready_for_inference(network: nn.Module, device: Device, ndim: int) -> Ready:
    """Fold batch normalisation into convolutions, then move to device, precision and layout.

    What is folded, or run by oneDNN, are layers that follow each other in an nn.Sequential; all
    others stay as they are.

    Parameters
    ----------
    network : nn.Module
        With its weights; it is changed.
    device : Device
        Where it is to run, and in which precision.
    ndim : int
        Axes of its feature maps, 2 or 3.

    Returns
    -------
    Ready
        Equal to the network within rounding.
    """
    network.eval()
    blocks = [module for module in network.modules() if isinstance(module, nn.Sequential)]
    for layers in blocks:
        _fold(layers)
    dtype = torch.float32 if device.precision == "fp32" else torch.bfloat16
    network = use_layout(network.to(device.torch, dtype), ndim)
    if device.torch.type == "cpu" and torch.backends.mkldnn.is_available():
        for layers in blocks:
            _use_onednn(layers)
    return Ready(network, dtype, CHANNELS_LAST[ndim]).eval()


class OneDnnConvolution(nn.Module):
    """A convolution by oneDNN whatever its size.

    torch's own choice for small float32 volumes unfolds them, 27 values per voxel: 3 to 6 times
    slower, with up to 12 times the memory.
    """

    def __init__(self, convolution: nn.Conv2d | nn.Conv3d):
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias
        self._padding = cast(tuple[int, ...], convolution.padding)
        self._stride, self._dilation = convolution.stride, convolution.dilation
        self._groups = convolution.groups

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, inputs, *px) -> (n, outputs, *px)."""
        how = (self._stride, self._dilation, self._groups)
        return torch.mkldnn_convolution(x, self.weight, self.bias, self._padding, *how)


def _is_convolution(layer: nn.Module) -> TypeGuard[nn.Conv2d | nn.Conv3d]:
    """Whether a layer is a convolution that pads with zeros, or not at all."""
    return isinstance(layer, nn.Conv2d | nn.Conv3d) and layer.padding_mode == "zeros"


def _use_onednn(layers: nn.Sequential) -> None:
    """Replace each convolution, in place; not those of padding "same", which torch works out."""
    for place, layer in enumerate(layers):
        if _is_convolution(layer) and not isinstance(layer.padding, str):
            layers[place] = OneDnnConvolution(layer)


def _fold(layers: nn.Sequential) -> None:
    """Fold each batch normalisation into the convolution before it, in place.

    Instance normalisation stays: its statistics are those of the pixels that it sees.
    """
    for place in range(len(layers) - 1):
        layer, norm = layers[place], layers[place + 1]
        if _is_convolution(layer) and isinstance(norm, _BatchNorm):
            layers[place] = fuse_conv_bn_eval(layer, norm)  # type: ignore[type-var]  # of either kind
            layers[place + 1] = nn.Identity()
