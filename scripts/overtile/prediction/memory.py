"""How much memory a tile needs, and the tiles that fit best into a limit."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, prod

from overtile.errors import InputError
from overtile.networks.architecture import Architecture
from overtile.networks.device import Device
from overtile.stores.layout import chunk_and_shard

GB = 10**9
PROGRAM_BYTES = {"cpu": 0.7 * GB, "cuda": 1.0 * GB}
"""Measured resident size of Python, torch and the libraries, and of a CUDA context."""

ALLOCATED = 1.2
"""What allocators hold, beside the maps in use; up to 1.16 was measured on the processor."""

MOST_TILES_IN_BATCH = 8

SHARD_SCALE = 2
"""Of predictions: no tile is larger than a shard, and large ones repeat less of their margins."""

BLOCKS_AT_ONCE = 2
"""One block in the network while another is read, or compressed and written."""

BLOCK_COPIES = 3
"""Of a block's result: as computed, as checked by its digest, and as compressed."""

BLENDING_COPIES = 8
"""Two more of a blended block, in float32: the sums, and what is stored of them."""


@dataclass(frozen=True)
class Tiling:
    """tile_px: output edges of a tile; batch_tiles: how many at once; bytes: of their maps."""

    tile_px: tuple[int, ...]
    batch_tiles: int
    bytes: int


def tile_bytes(architecture: Architecture, tile_px: Sequence[int], value_bytes: int) -> int:
    """Peak of what a forward pass of one tile holds at the same time, in bytes.

    value_bytes: 4 for fp32, 2 for bf16. Walks through the layers as `networks.unet` runs them: each
    holds its input, its output, the skip connections so far, and a copy of its kernels in the order
    that the processor's library wants. Throughout stay pixels, as they come and as the network
    takes them, those of the next tile, those of two tiles that another block reads, of which one
    channel is being normalised, and averages.
    """
    a = architecture
    size, output = a.sizes_for(tuple(tile_px))
    pixels, averages = a.in_channels * prod(size), 2 * a.classes * prod(output)
    throughout = 4 * (4 * pixels + averages) + 8 * prod(size) + value_bytes * pixels
    widths = [a.width * 2**level for level in range(len(a.pools) + 1)]
    channels, skips, peaks = a.in_channels, [], [0]

    def convolve(width: int, kernel: Sequence[int]) -> None:
        nonlocal channels, size
        less = tuple(n - k + 1 for n, k in zip(size, kernel, strict=True))
        kernels = channels * width * prod(kernel)
        peaks.append(sum(skips) + channels * prod(size) + width * prod(less) + kernels)
        if a.norm == "instance":  # which copies what it sees into another order, twice in 2D
            peaks.append(sum(skips) + (6 - a.ndim) * width * prod(less))
        channels, size = width, less

    for level, (width, kernel) in enumerate(zip(widths, a.kernels, strict=True)):
        convolve(width, kernel)
        convolve(width, kernel)
        if level < len(a.pools):
            skips.append(width * prod(size))
            size = tuple(n // p for n, p in zip(size, a.pools[level], strict=True))
            indices = 8 // value_bytes if a.ndim == 2 else 0  # of the maxima, which torch keeps
            peaks.append(sum(skips) + (1 + indices) * width * prod(size))
    for level in reversed(range(len(a.pools))):
        width, factors = widths[level], a.pools[level]
        grown = tuple(n * p for n, p in zip(size, factors, strict=True))
        kernels = channels * width * prod(factors)
        peaks.append(sum(skips) + channels * prod(size) + width * prod(grown) + kernels)
        peaks.append(sum(skips) + 3 * width * prod(grown))  # joined with the skip connection
        skips.pop()
        channels, size = 2 * width, grown
        convolve(width, a.kernels[level])
        convolve(width, a.kernels[level])
    return max(peaks) * value_bytes + throughout


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
    tile_px: Sequence[int] | None = None,
) -> Tiling:
    """Tiles for a slide of (z, y, x) px whose predicted peak is within memory_gb, 10^9 bytes.

    On the processor that is all of the process: program, networks, the blocks being read and
    written, and the maps of a tile. On a GPU the same limit holds there for networks and maps.
    tile_px: one edge for each axis of the network, in place of a choice; no tile is larger than
    a block. Raises InputError if without it not even the least tile fits.
    """
    value_bytes = 4 if device.precision == "fp32" else 2
    is_gpu = device.torch.type == "cuda"
    shard = chunk_and_shard(shape, SHARD_SCALE)[1]
    block = tuple(min(edge, n) for edge, n in zip(shard, shape, strict=True))
    left = memory_gb * GB - PROGRAM_BYTES[device.torch.type]
    left -= members * weight_bytes(architecture, value_bytes)
    if not is_gpu:
        copies = BLOCK_COPIES if architecture.is_exact else BLOCK_COPIES + BLENDING_COPIES
        left -= BLOCKS_AT_ONCE * copies * (architecture.classes + 1) * prod(block)
    left /= ALLOCATED
    edges = block[-architecture.ndim :]
    if tile_px is None:
        tile_px = choose_tile(architecture, edges, value_bytes, left)
        lacking = ALLOCATED * (tile_bytes(architecture, tile_px, value_bytes) - left) / GB
        if lacking > 0:
            least_gb = ceil(1000 * (memory_gb + lacking)) / 1000
            raise InputError(
                f"prediction.memory_gb (--memory-gb): {memory_gb:g}, but this model and slide are "
                f"predicted to take {least_gb:g} in the smallest tiles; allow at least that"
            )
    tile = tuple(
        min(t, n) for t, n in zip(tile_px, _whole_strides(architecture, edges), strict=True)
    )
    bytes_ = tile_bytes(architecture, tile, value_bytes)
    batch = 1
    if is_gpu:
        tiles = prod(ceil(n / t) for n, t in zip(edges, tile, strict=True))
        batch = max(1, min(tiles, MOST_TILES_IN_BATCH, int(left // bytes_)))
    return Tiling(tile, batch, bytes_ * batch)


def choose_tile(
    architecture: Architecture, block_px: Sequence[int], value_bytes: int, memory_bytes: float
) -> tuple[int, ...]:
    """The tile, in pixels, with which a block needs least work within a limit of memory.

    Work is the input pixels of all tiles: larger tiles repeat less of their margins. block_px:
    edges of a block along the network's axes, which are cut into equal parts of whole strides.
    memory_bytes: what a pass may take. If not even the smallest tile is predicted to fit, that one
    is taken.
    """
    best = None
    stride = architecture.stride
    for tile in product(*(_edges(n, s) for n, s in zip(block_px, stride, strict=True))):
        bytes_ = tile_bytes(architecture, tile, value_bytes)
        tiles = prod(ceil(n / t) for n, t in zip(block_px, tile, strict=True))
        work = tiles * prod(architecture.sizes_for(tile)[0])
        rank = (bytes_ > memory_bytes, bytes_ if bytes_ > memory_bytes else 0, work, bytes_)
        if best is None or rank < best[0]:
            best = rank, tile
    return best[1]


def _whole_strides(architecture: Architecture, edges: Sequence[float]) -> tuple[int, ...]:
    """Edges rounded up to multiples of the network's stride."""
    return tuple(ceil(n / s) * s for n, s in zip(edges, architecture.stride, strict=True))


def _edges(length: int, stride: int) -> list[int]:
    """Edges, of whole strides, of up to 32 equal parts of an axis."""
    parts = range(1, min(32, ceil(length / stride)) + 1)
    return sorted({ceil(length / k / stride) * stride for k in parts})
