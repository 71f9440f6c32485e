"""How large a network is, by running it on torch's meta device: sizes without numbers."""

import weakref
from collections.abc import Callable
from functools import lru_cache
from itertools import product
from math import prod
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from overtile.networks.blocks import CHANNELS_LAST, use_layout
from overtile.networks.family import AnyFamily, Decisions, Geometry

NORM_COPIES = {2: 2, 3: 1}
"""Of a map that normalisation by its own statistics (instance norm) makes, by the map's axes:
measured, as its channels come last."""

Build = Callable[[Any], nn.Module]


class MemoryCount(TorchDispatchMode):
    """Counts what operations make while this context is open, as long as something refers to it.

    peak: the most bytes that lived at the same time. largest: numbers in the largest tensor. What
    libraries take inside an operation is not seen, but for NORM_COPIES.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = self.largest = self._alive = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run an operation, and count what it returns."""
        made = func(*args, **(kwargs or {}))
        tensors = [tensor for tensor in tree_leaves(made) if isinstance(tensor, torch.Tensor)]
        for tensor in tensors:
            self._count(tensor)
        if func is torch.ops.aten.native_batch_norm.default and args[5]:
            self.peak = max(
                self.peak, self._alive + NORM_COPIES[tensors[0].ndim - 2] * tensors[0].nbytes
            )
        return made

    def _count(self, tensor: torch.Tensor) -> None:
        self.largest = max(self.largest, tensor.numel())
        storage = tensor.untyped_storage()
        if storage._cdata in self._known:  # a view, or changed in place
            return
        self._known.add(storage._cdata)
        self._alive += storage.nbytes()
        self.peak = max(self.peak, self._alive)
        weakref.finalize(storage, self._forget, storage._cdata, storage.nbytes())

    def _forget(self, known: int, nbytes: int) -> None:
        self._known.discard(known)
        self._alive -= nbytes


def count_pass(network: nn.Module, shape: tuple[int, ...], is_training: bool) -> MemoryCount:
    """Memory of one pass of a network on the meta device, without its weights.

    Parameters
    ----------
    network : nn.Module
        On the meta device, of the data type that counts.
    shape : tuple of int
        Of the input, (n, channels, *input_px).
    is_training : bool
        Whether a backward pass follows, for which maps are kept; gradients of weights count.

    Returns
    -------
    MemoryCount
        With the input among what lives.
    """
    layout = CHANNELS_LAST[len(shape) - 2]
    dtype = next(network.parameters()).dtype
    network.train(is_training)
    with torch.set_grad_enabled(is_training), MemoryCount() as count:
        x = torch.empty(shape, device="meta", dtype=dtype, memory_format=layout)
        outputs = network(x)
        if is_training:
            outputs.sum().backward()
    network.zero_grad(set_to_none=True)
    return count


def count_parameters(family: AnyFamily, decided: Decisions) -> int:
    """How many numbers training fits."""
    network = _network(family.build, decided, torch.float32)
    return sum(p.numel() for p in network.parameters())


def largest_map(family: AnyFamily, decided: Decisions, output_px: tuple[int, ...]) -> int:
    """How many numbers the largest feature map of one tile holds."""
    source, _ = family.geometry(decided).sizes_for(output_px)
    network = _network(family.build, decided, torch.float32)
    return count_pass(network, (1, decided.in_channels, *source), is_training=False).largest


def pass_bytes(
    family: AnyFamily, decided: Decisions, tile_px: tuple[int, ...], value_bytes: int
) -> int:
    """The most bytes that the maps of one tile of output take at once, or a little more.

    Each map grows linearly with each edge of a tile, so that between two sizes the truth lies below
    the straight line. Passes are run for tiles with edges of some sizes, a factor of 4 apart.
    """
    geometry = family.geometry(decided)
    dtype = torch.float32 if value_bytes == 4 else torch.bfloat16
    wanted = geometry.sizes_for(tile_px)[1]
    ends = [_neighbours(n, geometry, axis) for axis, n in enumerate(wanted)]
    total = 0.0
    for corner in product(*ends):
        sides = zip(wanted, corner, ends, strict=True)
        share = prod(1 - abs(n - at) / (high - low) for n, at, (low, high) in sides)
        if share:
            source, _ = geometry.sizes_for(corner)
            total += share * _peak(family.build, decided, source, dtype)
    return round(total)


def _neighbours(length: int, geometry: Geometry, axis: int) -> tuple[int, int]:
    """The two outputs at which a pass is run, in pixels, between which an edge lies."""
    least, stride = geometry.least_px[axis], geometry.stride[axis]
    low, high = least, least + stride
    while high < length:
        low, high = high, least + 4 * (high - least)
    return low, high


@lru_cache(4)
def _network(build: Build, decided: Decisions, dtype: torch.dtype) -> nn.Module:
    """A network without numbers."""
    with torch.device("meta"):
        return use_layout(build(decided).to(dtype), decided.ndim)


@lru_cache(1024)
def _peak(build: Build, decided: Decisions, input_px: tuple[int, ...], dtype: torch.dtype) -> int:
    """Bytes of one pass."""
    shape = (1, decided.in_channels, *input_px)
    return count_pass(_network(build, decided, dtype), shape, is_training=False).peak
