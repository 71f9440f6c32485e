"""How much memory a tile needs, and the tiles that fit best into a limit."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, prod

from overtile.networks.architecture import Architecture
from overtile.networks.device import Device
from overtile.stores.layout import chunk_and_shard

GB = 10**9
PROGRAM_BYTES = {"cpu": 0.7 * GB, "cuda": 1.0 * GB}
"""Measured resident size of Python, torch and the libraries, and of a CUDA context."""

MOST_TILES_IN_BATCH = 8

BLOCKS_AT_ONCE = 2
"""One block in the network while another is read, or compressed and written."""

BLOCK_COPIES = 3
"""Of a block's result: as computed, as checked by its digest, and as compressed."""


@dataclass(frozen=True)
class Tiling:
    """tile_px: output edges of a tile; batch_tiles: how many at once; bytes: of their maps."""

    tile_px: tuple[int, ...]
    batch_tiles: int
    bytes: int

    def with_edge(self, edge_px: int) -> "Tiling":
        """Tiles with no edge above edge_px, one at a time."""
        return Tiling(tuple(min(edge_px, n) for n in self.tile_px), 1, self.bytes)


def tile_bytes(architecture: Architecture, tile_px: Sequence[int], value_bytes: int) -> int:
    """Peak of the maps that a forward pass of one tile holds at the same time, in bytes.

    value_bytes: 4 for fp32, 2 for bf16. Walks through the layers as `networks.unet` runs them.
    """
    a = architecture
    size, _ = a.sizes_for(tuple(tile_px))
    widths = [a.width * 2**level for level in range(len(a.pools) + 1)]
    channels, held, peak, skips = a.in_channels, 0, 0, []
    for level, (width, kernel) in enumerate(zip(widths, a.kernels, strict=True)):
        source = channels * prod(size)
        first = _less(size, kernel)
        second = _less(first, kernel)
        peak = max(peak, held + source + width * (prod(first) + prod(second)))
        channels = width
        if level < len(a.pools):
            skips.append((width, second))
            held += width * prod(second)
            size = tuple(n // p for n, p in zip(second, a.pools[level], strict=True))
        else:
            size = second
    for level in reversed(range(len(a.pools))):
        width, whole = skips.pop()
        grown = tuple(n * p for n, p in zip(size, a.pools[level], strict=True))
        peak = max(peak, held + channels * prod(size) + 2 * width * prod(grown))
        first = _less(grown, a.kernels[level])
        second = _less(first, a.kernels[level])
        joined = 2 * width * prod(grown)
        peak = max(peak, held + width * prod(grown) + joined + width * (prod(first) + prod(second)))
        held -= width * prod(whole)
        channels, size = width, second
    return peak * value_bytes


def _less(size: Sequence[int], kernel: Sequence[int]) -> tuple[int, ...]:
    """Size of a map after a valid convolution."""
    return tuple(n - k + 1 for n, k in zip(size, kernel, strict=True))


def weight_bytes(architecture: Architecture, value_bytes: int) -> int:
    """Bytes of the weights of one network."""
    a = architecture
    widths = [a.in_channels, *(a.width * 2**level for level in range(len(a.pools) + 1))]
    pairs = zip(widths[:-1], widths[1:], a.kernels, strict=True)
    down = sum((i * o + o * o) * prod(k) for i, o, k in pairs)
    steps = zip(widths[1:-1], a.pools, a.kernels[:-1], strict=True)
    up = sum(2 * w * w * prod(p) + 3 * w * w * prod(k) for w, p, k in steps)
    return (down + up) * value_bytes


def plan_tiling(
    architecture: Architecture,
    shape: Sequence[int],
    members: int,
    device: Device,
    memory_gb: float,
) -> Tiling:
    """Tiles for a slide of (z, y, x) px whose predicted peak is within memory_gb, 10^9 bytes.

    On the processor that is all of the process: program, networks, the blocks being read and
    written, and the maps of a tile. On a GPU the same limit holds there for networks and maps.
    """
    value_bytes = 4 if device.precision == "fp32" else 2
    is_gpu = device.torch.type == "cuda"
    block = chunk_and_shard(shape)[1]
    left = memory_gb * GB - PROGRAM_BYTES[device.torch.type]
    left -= members * weight_bytes(architecture, value_bytes)
    if not is_gpu:
        left -= BLOCKS_AT_ONCE * BLOCK_COPIES * (architecture.classes + 1) * prod(block)
    edges = block[-architecture.ndim :]
    return choose_tiling(architecture, edges, value_bytes, left, is_gpu)


def choose_tiling(
    architecture: Architecture,
    block_px: Sequence[int],
    value_bytes: int,
    memory_bytes: float,
    is_gpu: bool,
) -> Tiling:
    """The tiles of a block that need least work within a limit of memory.

    Work is the input pixels of all tiles: larger tiles repeat less of their margins. block_px:
    edges of a block along the network's axes, which are cut into equal parts. memory_bytes: what
    maps may take. On a GPU several tiles run at once if one does not fill the memory. If not even
    the smallest tile is predicted to fit, that one is taken.
    """
    stride = architecture.stride
    best = None
    for parts in product(*(_divisors(n, s) for n, s in zip(block_px, stride, strict=True))):
        tile = tuple(
            min(ceil(ceil(n / k) / s) * s, ceil(n / s) * s)
            for n, k, s in zip(block_px, parts, stride, strict=True)
        )
        bytes_ = tile_bytes(architecture, tile, value_bytes)
        work = prod(parts) * prod(architecture.sizes_for(tile)[0])
        rank = (bytes_ > memory_bytes, bytes_ if bytes_ > memory_bytes else 0, work, bytes_)
        if best is None or rank < best[0]:
            count = prod(parts)
            best = rank, Tiling(tile, min(count, MOST_TILES_IN_BATCH), bytes_)
    tiling = best[1]
    fit = max(1, int(memory_bytes // tiling.bytes)) if is_gpu else 1
    batch = min(tiling.batch_tiles, fit)
    return Tiling(tiling.tile_px, batch, tiling.bytes * batch)


def _divisors(length: int, stride: int) -> list[int]:
    """Into how many equal parts an axis may be cut, each at least one stride long."""
    return list(range(1, min(32, ceil(length / stride)) + 1))
