"""How much memory a tile needs, and the tiles that fit best into a limit."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, prod

from overtile.errors import InputError
from overtile.networks.device import Device
from overtile.networks.family import Geometry
from overtile.planning.plan import Plan
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


def tile_bytes(plan: Plan, tile_px: Sequence[int], value_bytes: int) -> int:
    """Peak of what a forward pass of one tile holds at the same time, in bytes.

    tile_px: edges of the output. value_bytes: 4 for fp32, 2 for bf16. To what the network takes
    come, throughout: pixels, as they are read and as the network takes them, those of the next
    tile, those of two tiles that another block reads, of which one channel is being normalised, and
    averages.
    """
    source, output = plan.geometry.sizes_for(tile_px)
    pixels = plan.architecture.in_channels * prod(source)
    averages = 2 * len(plan.channels) * prod(output)
    throughout = 4 * (4 * pixels + averages) + 8 * prod(source) + value_bytes * pixels
    return plan.network.pass_bytes(plan.architecture, tile_px, value_bytes) + throughout


def plan_tiling(
    plan: Plan,
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
    left -= members * plan.network.weight_bytes(plan.architecture, value_bytes)
    if not is_gpu:
        copies = BLOCK_COPIES if plan.geometry.is_exact else BLOCK_COPIES + BLENDING_COPIES
        left -= BLOCKS_AT_ONCE * copies * (len(plan.channels) + 1) * prod(block)
    left /= ALLOCATED
    edges = block[-plan.geometry.ndim :]
    if tile_px is None:
        tile_px = choose_tile(plan, edges, value_bytes, left)
        lacking = ALLOCATED * (tile_bytes(plan, tile_px, value_bytes) - left) / GB
        if lacking > 0:
            least_gb = ceil(1000 * (memory_gb + lacking)) / 1000
            raise InputError(
                f"prediction.memory_gb (--memory-gb): is {memory_gb:g}, but this model and slide "
                f"need {least_gb:g} even with the smallest tiles; allow at least that"
            )
    tile = tuple(
        min(t, n) for t, n in zip(tile_px, _whole_strides(plan.geometry, edges), strict=True)
    )
    bytes_ = tile_bytes(plan, tile, value_bytes)
    batch = 1
    if is_gpu:
        tiles = prod(ceil(n / t) for n, t in zip(edges, tile, strict=True))
        batch = max(1, min(tiles, MOST_TILES_IN_BATCH, int(left // bytes_)))
    return Tiling(tile, batch, bytes_ * batch)


def choose_tile(
    plan: Plan, block_px: Sequence[int], value_bytes: int, memory_bytes: float
) -> tuple[int, ...]:
    """The tile, in pixels, with which a block needs least work within a limit of memory.

    Work is the input pixels of all tiles: larger tiles repeat less of their margins. block_px:
    edges of a block along the network's axes, which are cut into equal parts of whole strides.
    memory_bytes: what a pass may take. If not even the smallest tile is predicted to fit, that one
    is taken.
    """
    geometry = plan.geometry
    ranked = []
    for tile in product(*(_edges(n, s) for n, s in zip(block_px, geometry.stride, strict=True))):
        bytes_ = tile_bytes(plan, tile, value_bytes)
        tiles = prod(ceil(n / t) for n, t in zip(block_px, tile, strict=True))
        work = tiles * prod(geometry.sizes_for(tile)[0])
        rank = (bytes_ > memory_bytes, bytes_ if bytes_ > memory_bytes else 0, work, bytes_)
        ranked.append((rank, tile))
    return min(ranked, key=lambda pair: pair[0])[1]


def _whole_strides(geometry: Geometry, edges: Sequence[float]) -> tuple[int, ...]:
    """Edges rounded up to multiples of the network's stride."""
    return tuple(ceil(n / s) * s for n, s in zip(edges, geometry.stride, strict=True))


def _edges(length: int, stride: int) -> list[int]:
    """Edges, of whole strides, of up to 32 equal parts of an axis."""
    parts = range(1, min(32, ceil(length / stride)) + 1)
    return sorted({ceil(length / k / stride) * stride for k in parts})
