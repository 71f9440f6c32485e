"""Predicted memory against what torch takes, and tiles that make the most of a limit."""

from itertools import product
from math import ceil, prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.profiler import ProfilerActivity, profile

from overtile.inference.memory import (
    GB,
    MOST_TILES_IN_BATCH,
    Tiling,
    choose_tiling,
    plan_tiling,
    tile_bytes,
    weight_bytes,
)
from overtile.inference.tiles import tile_grid
from overtile.networks.architecture import Architecture, choose_levels
from overtile.networks.device import Device
from overtile.networks.fuse import ready_for_inference
from overtile.networks.unet import UNet
from overtile.stores.layout import chunk_and_shard

CUBIC = (1.0, 1.0, 1.0)
COARSE = (4.0, 1.0, 1.0)


def architecture(ndim, depth, width, spacing=CUBIC, norm="none"):
    return Architecture(ndim, 1, 2, width, *choose_levels(ndim, depth, spacing), norm=norm)


def cpu(precision="fp32"):
    return Device(torch.device("cpu"), precision, threads=1)


def taken(a, tile_px, precision):
    """The most bytes that torch holds at once while one tile runs, its pixels included."""
    network = ready_for_inference(UNet(a), cpu(precision))
    x = torch.zeros(1, a.in_channels, *a.sizes_for(tile_px)[0])
    with (
        torch.inference_mode(),
        profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler,
    ):
        network(x)
    events = profiler.profiler.kineto_results.events()
    steps = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    held = peak = x.nbytes if precision == "fp32" else 0
    for _, change in steps:
        held += change
        peak = max(peak, held)
    return peak


TOO_LOW = pytest.mark.xfail(
    reason="not counted yet: skip connections are held to the end, oneDNN copies weights, and "
    "small fp32 volumes are unfolded",
)


@pytest.mark.parametrize(
    ("a", "tile_px", "precision"),
    [
        (architecture(2, 1, 32), (300, 300), "fp32"),
        pytest.param(architecture(2, 3, 8), (96, 160), "fp32", marks=TOO_LOW),
        pytest.param(architecture(2, 4, 16, norm="batch"), (256, 256), "bf16", marks=TOO_LOW),
        pytest.param(architecture(2, 4, 32), (64, 64), "fp32", marks=TOO_LOW),
        pytest.param(architecture(2, 4, 32), (64, 64), "bf16", marks=TOO_LOW),
        pytest.param(architecture(3, 2, 4), (24, 24, 24), "fp32", marks=TOO_LOW),
        (architecture(3, 2, 4), (24, 24, 24), "bf16"),
        (architecture(3, 2, 8), (16, 48, 48), "bf16"),
        pytest.param(architecture(3, 2, 8, COARSE), (16, 64, 64), "fp32", marks=TOO_LOW),
        pytest.param(architecture(3, 2, 8, COARSE), (16, 64, 64), "bf16", marks=TOO_LOW),
    ],
)
def test_the_bytes_of_a_tile_are_those_that_torch_takes(a, tile_px, precision):
    if precision == "bf16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this processor has no bf16")
    value_bytes = {"fp32": 4, "bf16": 2}[precision]
    predicted, true = tile_bytes(a, tile_px, value_bytes), taken(a, tile_px, precision)
    assert true / 1.1 <= predicted <= 2 * true


@pytest.mark.parametrize(
    "a",
    [
        architecture(2, 4, 64),
        architecture(2, 2, 32, (1.0, 1.0, 3.0)),
        architecture(3, 3, 32),
        architecture(3, 3, 32, COARSE),
    ],
)
def test_the_bytes_of_weights_are_those_of_the_network(a):
    with torch.device("meta"):
        network = UNet(a)
    kernels = [p for name, p in network.named_parameters() if p.ndim > 1 and "head" not in name]
    assert weight_bytes(a, 4) == sum(p.numel() for p in kernels) * 4
    everything = sum(p.numel() for p in network.parameters())
    assert weight_bytes(a, 2) == pytest.approx(2 * everything, rel=0.01)


ARCHITECTURES = [
    architecture(2, 1, 4),
    architecture(2, 4, 16),
    architecture(2, 2, 8, (1.0, 1.0, 2.5)),
    architecture(3, 2, 4),
    architecture(3, 2, 4, COARSE),
]


@st.composite
def blocks(draw):
    """A network and a block's edges along its axes."""
    a = draw(st.sampled_from(ARCHITECTURES))
    longest = 700 if a.ndim == 2 else 30
    return a, draw(st.tuples(*[st.integers(1, longest)] * a.ndim))


def needed(a, tile_px):
    return tile_bytes(a, tile_px, 4)


def smallest(a, block_px):
    """The bytes of the tiling that takes the least of them."""
    return choose_tiling(a, block_px, 4, 0, False).bytes


def tiles_of(tiling, a, block_px):
    return tile_grid((0,) * a.ndim, block_px, tiling.tile_px, a.stride)


def work(tiling, a, block_px):
    """Input pixels of all tiles of a block."""
    return len(tiles_of(tiling, a, block_px)) * prod(a.sizes_for(tiling.tile_px)[0])


@given(blocks(), st.floats(0, 3), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_limit_is_kept_wherever_any_tiles_keep_it(case, factor, is_gpu):
    a, block_px = case
    limit = factor * needed(a, block_px)
    tiling = choose_tiling(a, block_px, 4, limit, is_gpu)
    assert tiling.bytes == needed(a, tiling.tile_px) * tiling.batch_tiles
    if limit >= smallest(a, block_px):
        assert tiling.bytes <= limit
    else:
        assert tiling == choose_tiling(a, block_px, 4, 0, is_gpu)


@given(blocks())
@settings(max_examples=20, deadline=None)
def test_where_nothing_fits_the_tile_of_least_bytes_is_taken(case):
    a, block_px = case
    tiling = choose_tiling(a, block_px, 4, -1e9, True)
    assert tiling.batch_tiles == 1
    ratios = [1, 2, 3, 5, 8, 13, 21, 32]
    for parts in product(ratios, repeat=a.ndim):
        # No part is shorter than one stride.
        tile = [
            ceil(max(s, n / k) / s) * s for n, k, s in zip(block_px, parts, a.stride, strict=True)
        ]
        assert needed(a, tile) >= tiling.bytes


@given(blocks(), st.lists(st.floats(0.01, 1.5), min_size=2, max_size=5))
@settings(max_examples=25, deadline=None)
def test_more_memory_never_means_more_work(case, factors):
    a, block_px = case
    limits = sorted(f * needed(a, block_px) for f in factors)
    limits = [limit for limit in limits if limit >= smallest(a, block_px)]
    works = [work(choose_tiling(a, block_px, 4, m, False), a, block_px) for m in limits]
    assert works == sorted(works, reverse=True)


@given(blocks(), st.floats(0, 1.5), st.booleans())
@settings(max_examples=40, deadline=None)
def test_tiles_are_equal_parts_in_whole_strides_that_cover_the_block(case, factor, is_gpu):
    a, block_px = case
    tiling = choose_tiling(a, block_px, 4, factor * needed(a, block_px), is_gpu)
    for tile, n, s in zip(tiling.tile_px, block_px, a.stride, strict=True):
        assert tile % s == 0
        count = ceil(n / tile)
        assert (tile - s) * count < n, "a smaller tile would have covered the axis as often"
    grid = tiles_of(tiling, a, block_px)
    assert sum(prod(tile.shape) for tile in grid) == prod(block_px)


@given(blocks(), st.floats(0, 20))
@settings(max_examples=25, deadline=None)
def test_several_tiles_run_at_once_only_on_a_gpu_that_holds_them(case, factor):
    a, block_px = case
    limit = factor * needed(a, block_px) / 4
    assert choose_tiling(a, block_px, 4, limit, False).batch_tiles == 1
    tiling = choose_tiling(a, block_px, 4, limit, True)
    one = needed(a, tiling.tile_px)
    assert 1 <= tiling.batch_tiles <= MOST_TILES_IN_BATCH
    assert tiling.batch_tiles == 1 or tiling.batch_tiles * one <= limit
    assert tiling.tile_px == choose_tiling(a, block_px, 4, limit, False).tile_px


def test_a_gpu_with_room_for_some_of_the_tiles_takes_so_many_at_once():
    a = architecture(2, 2, 8)
    limit = 0.4 * needed(a, (1024, 1024))
    tiling = choose_tiling(a, (1024, 1024), 4, limit, True)
    assert tiling.batch_tiles == int(limit // needed(a, tiling.tile_px)) >= 1
    quarter = choose_tiling(a, (1024, 1024), 4, needed(a, (1024, 1024)), True)
    assert quarter == Tiling((1024, 1024), 1, needed(a, (1024, 1024)))


def test_a_block_that_fits_whole_is_one_tile():
    a = architecture(2, 4, 16)
    tiling = choose_tiling(a, (1000, 700), 4, 1e12, False)
    assert tiling.tile_px == (1008, 704)


def test_a_given_edge_takes_the_place_of_the_choice_and_keeps_to_the_block():
    a = architecture(2, 2, 8)
    tiling = choose_tiling(a, (1024, 300), 4, 1e12, True).with_edge(512)
    assert (tiling.tile_px, tiling.batch_tiles) == ((512, 300), 1)


@pytest.mark.xfail(strict=True, reason="with_edge takes the smaller of the edge and the choice")
def test_a_given_edge_is_taken_where_little_memory_would_ask_for_less():
    a = architecture(2, 2, 8)
    tiling = plan_tiling(a, (1, 2000, 2000), 1, cpu(), 0.1).with_edge(512)
    assert tiling.tile_px == (512, 512)


def test_what_is_planned_for_a_slide_leaves_room_for_the_program_the_networks_and_the_blocks():
    a, shape = architecture(2, 4, 32), (1, 5000, 5000)
    sizes = [plan_tiling(a, shape, 1, cpu(), gb).bytes for gb in (0.01, 0.9, 1, 1.2, 2, 4)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] < 4 * GB
    block = chunk_and_shard(shape)[1]
    for gb in (1, 1.2, 2):
        tiling = plan_tiling(a, shape, 1, cpu(), gb)
        assert tiling.bytes + weight_bytes(a, 4) + 3 * prod(block) < gb * GB
    more_members = plan_tiling(a, shape, 20, cpu(), 2)
    assert more_members.bytes < plan_tiling(a, shape, 1, cpu(), 2).bytes
    assert more_members.bytes + 20 * weight_bytes(a, 4) < 2 * GB


def test_half_the_bytes_per_value_give_room_for_larger_tiles():
    a, shape = architecture(2, 4, 32), (1, 5000, 5000)
    fp32, bf16 = (plan_tiling(a, shape, 1, cpu(p), 1.2) for p in ("fp32", "bf16"))
    assert prod(bf16.tile_px) > prod(fp32.tile_px)


def test_a_gpu_needs_no_room_for_blocks():
    a, shape = architecture(2, 4, 32), (1, 200_000, 200_000)
    gpu = Device(torch.device("cuda"), "bf16", threads=1)
    (smallest_px, _), (planned_px, _) = (
        plan_tiling(a, shape, 1, device, 2).tile_px for device in (cpu("bf16"), gpu)
    )
    assert smallest_px < planned_px
    assert plan_tiling(a, shape, 1, gpu, 2).bytes <= 1 * GB
