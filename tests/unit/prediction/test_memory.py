"""Predicted memory against what torch takes, and tiles that make the most of a limit."""

import os
import re
import subprocess
import sys
from functools import cache
from itertools import product
from math import ceil, prod
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.profiler import ProfilerActivity, profile

from overtile.errors import InputError
from overtile.networks.device import Device
from overtile.networks.fuse import ready_for_inference
from overtile.networks.unet.family import Architecture, choose_levels
from overtile.networks.unet.layers import UNet
from overtile.networks.unet.sizes import weight_bytes
from overtile.prediction.memory import (
    ALLOCATED,
    GB,
    MOST_TILES_IN_BATCH,
    PROGRAM_BYTES,
    SHARD_SCALE,
    Tiling,
    choose_tile,
    plan_tiling,
    tile_bytes,
)
from overtile.prediction.tiles import tile_grid
from overtile.stores.layout import chunk_and_shard
from tests.plans import small_plan

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"

CUBIC = (1.0, 1.0, 1.0)
COARSE = (4.0, 1.0, 1.0)


def architecture(ndim, depth, width, spacing=CUBIC, norm="none", channels=1):
    levels = choose_levels(ndim, depth, spacing)
    return Architecture(ndim, channels, 2, width, *levels, norm=norm)


@cache
def plan_of(a):
    return small_plan(a)


def cpu(precision="fp32"):
    return Device(torch.device("cpu"), precision, threads=1)


def taken(a, tile_px, precision):
    """The most bytes held at once while one tile runs and three others wait or are read."""
    network = ready_for_inference(UNet(a), cpu(precision), a.ndim)
    x = torch.zeros(1, a.in_channels, *a.geometry.sizes_for(tile_px)[0])
    with (
        torch.inference_mode(),
        profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler,
    ):
        network(x)
    events = profiler.profiler.kineto_results.events()
    steps = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    held = peak = 4 * x.nbytes + 2 * x[:, 0].nbytes  # one channel in float64 on its way
    for _, change in steps:
        held += change
        peak = max(peak, held)
    return peak


@pytest.mark.parametrize(
    ("a", "tile_px", "precision"),
    [
        (architecture(2, 1, 32), (300, 300), "fp32"),
        (architecture(2, 3, 8), (96, 160), "fp32"),
        (architecture(2, 4, 16, norm="batch"), (256, 256), "bf16"),
        (architecture(2, 2, 8, channels=40), (256, 256), "bf16"),
        (architecture(2, 4, 32), (64, 64), "fp32"),
        (architecture(2, 4, 32), (64, 64), "bf16"),
        (architecture(3, 2, 4), (24, 24, 24), "fp32"),
        (architecture(3, 2, 4), (24, 24, 24), "bf16"),
        (architecture(3, 2, 8), (16, 48, 48), "bf16"),
        (architecture(3, 2, 8, COARSE), (16, 64, 64), "fp32"),
        (architecture(3, 2, 8, COARSE), (16, 64, 64), "bf16"),
        (architecture(2, 2, 16, norm="instance"), (300, 300), "fp32"),
        (architecture(2, 2, 16, norm="instance"), (300, 300), "bf16"),
        (architecture(3, 2, 8, norm="instance"), (24, 40, 40), "fp32"),
        (architecture(3, 2, 8, norm="instance"), (24, 40, 40), "bf16"),
    ],
)
def test_the_bytes_of_a_tile_are_those_that_torch_takes(a, tile_px, precision):
    if precision == "bf16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this processor has no bf16")
    value_bytes = {"fp32": 4, "bf16": 2}[precision]
    predicted, true = tile_bytes(plan_of(a), tile_px, value_bytes), taken(a, tile_px, precision)
    assert 0.95 * true <= predicted <= 1.2 * true


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
    return tile_bytes(plan_of(a), tile_px, 4)


def smallest(a, block_px):
    """The bytes of the tile that takes the least of them."""
    return needed(a, choose_tile(plan_of(a), block_px, 4, 0))


def work(tile_px, a, block_px):
    """Input pixels of all tiles of a block."""
    return len(tile_grid((0,) * a.ndim, block_px, tile_px, a.geometry.stride)) * prod(
        a.geometry.sizes_for(tile_px)[0]
    )


@given(blocks(), st.floats(0, 3))
@settings(max_examples=40, deadline=None)
def test_a_limit_is_kept_wherever_any_tiles_keep_it(case, factor):
    a, block_px = case
    limit = factor * needed(a, block_px)
    tile = choose_tile(plan_of(a), block_px, 4, limit)
    if limit >= smallest(a, block_px):
        assert needed(a, tile) <= limit
    else:
        assert tile == choose_tile(plan_of(a), block_px, 4, 0)


@given(blocks())
@settings(max_examples=20, deadline=None)
def test_where_nothing_fits_the_tile_of_least_bytes_is_taken(case):
    a, block_px = case
    least = needed(a, choose_tile(plan_of(a), block_px, 4, -1e9))
    ratios = [1, 2, 3, 5, 8, 13, 21, 32]
    for parts in product(ratios, repeat=a.ndim):
        # No part is shorter than one stride.
        tile = [
            ceil(max(s, n / k) / s) * s
            for n, k, s in zip(block_px, parts, a.geometry.stride, strict=True)
        ]
        assert needed(a, tile) >= least


@given(blocks(), st.lists(st.floats(0.01, 1.5), min_size=2, max_size=5))
@settings(max_examples=25, deadline=None)
def test_more_memory_never_means_more_work(case, factors):
    a, block_px = case
    limits = sorted(f * needed(a, block_px) for f in factors)
    limits = [limit for limit in limits if limit >= smallest(a, block_px)]
    works = [work(choose_tile(plan_of(a), block_px, 4, m), a, block_px) for m in limits]
    assert works == sorted(works, reverse=True)


@given(blocks(), st.floats(0, 1.5))
@settings(max_examples=40, deadline=None)
def test_tiles_are_equal_parts_in_whole_strides_that_cover_the_block(case, factor):
    a, block_px = case
    tile_px = choose_tile(plan_of(a), block_px, 4, factor * needed(a, block_px))
    for tile, n, s in zip(tile_px, block_px, a.geometry.stride, strict=True):
        assert tile % s == 0
        count = ceil(n / tile)
        assert (tile - s) * count < n, "a smaller tile would have covered the axis as often"
    grid = tile_grid((0,) * a.ndim, block_px, tile_px, a.geometry.stride)
    assert sum(prod(tile.shape) for tile in grid) == prod(block_px)


def test_a_block_that_fits_whole_is_one_tile():
    assert choose_tile(plan_of(architecture(2, 4, 16)), (1000, 700), 4, 1e12) == (1008, 704)


def gpu(precision="fp32"):
    return Device(torch.device("cuda"), precision, threads=1)


@given(blocks(), st.floats(1.01, 2), st.integers(1, 200))
@settings(max_examples=25, deadline=None)
def test_several_tiles_run_at_once_only_on_a_gpu_that_holds_them(case, memory_gb, edge_px):
    a, block_px = case
    shape = block_px if a.ndim == 3 else (1, *block_px)
    tile_px = [edge_px] * a.ndim
    planned = plan_tiling(plan_of(a), shape, 1, gpu(), memory_gb, tile_px)
    one = needed(a, planned.tile_px)
    assert 1 <= planned.batch_tiles <= MOST_TILES_IN_BATCH
    assert planned.bytes == one * planned.batch_tiles
    room = (memory_gb * GB - PROGRAM_BYTES["cuda"] - weight_bytes(a, 4)) / ALLOCATED
    assert planned.batch_tiles == 1 or planned.bytes <= room
    assert plan_tiling(plan_of(a), shape, 1, cpu(), memory_gb, tile_px) == Tiling(
        planned.tile_px, 1, one
    )


def test_a_gpu_with_room_for_some_of_the_tiles_takes_so_many_at_once():
    a, shape = architecture(2, 2, 8), (1, 1000, 1000)
    one = needed(a, (256, 256))
    memory_gb = (PROGRAM_BYTES["cuda"] + weight_bytes(a, 4) + ALLOCATED * 3.5 * one) / GB
    assert plan_tiling(plan_of(a), shape, 1, gpu(), memory_gb, [256, 256]).batch_tiles == 3
    assert plan_tiling(plan_of(a), shape, 1, gpu(), 100, [256, 256]).batch_tiles == 8
    assert plan_tiling(plan_of(a), shape, 1, gpu(), 100).batch_tiles == 1


def test_a_given_edge_is_taken_whatever_memory_there_is_but_keeps_to_the_block():
    a = architecture(2, 2, 8)
    for gb in (0.1, 1000):
        assert plan_tiling(plan_of(a), (1, 2000, 2000), 1, cpu(), gb, (512, 512)).tile_px == (
            512,
            512,
        )
        assert plan_tiling(plan_of(a), (1, 2000, 300), 1, cpu(), gb, (512, 512)).tile_px == (
            512,
            300,
        )


def test_tiles_and_their_memory_are_the_same_for_small_slides_and_large_ones():
    a = architecture(2, 4, 64)
    for gb in (2, 4, 16):
        tilings = {
            plan_tiling(plan_of(a), (1, n, n), 1, cpu("bf16"), gb) for n in (8000, 20000, 60000)
        }
        assert len(tilings) == 1
    shards = {chunk_and_shard((1, n, n), SHARD_SCALE)[1] for n in (8000, 60000)}
    assert shards == {(1, 2048, 2048)}


def test_what_is_planned_for_a_slide_leaves_room_for_the_program_the_networks_and_the_blocks():
    a, shape = architecture(2, 4, 32), (1, 5000, 5000)
    sizes = [plan_tiling(plan_of(a), shape, 1, cpu(), gb).bytes for gb in (0.85, 0.9, 1, 1.2, 2, 4)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] < 4 * GB
    block = chunk_and_shard(shape, SHARD_SCALE)[1]
    for gb in (1, 1.2, 2):
        tiling = plan_tiling(plan_of(a), shape, 1, cpu(), gb)
        assert tiling.bytes + weight_bytes(a, 4) + 3 * prod(block) < gb * GB
    more_members = plan_tiling(plan_of(a), shape, 20, cpu(), 2)
    assert more_members.bytes < plan_tiling(plan_of(a), shape, 1, cpu(), 2).bytes
    assert more_members.bytes + 20 * weight_bytes(a, 4) < 2 * GB


@pytest.mark.parametrize("device", [cpu(), Device(torch.device("cuda"), "fp32", 1)])
def test_a_limit_below_the_smallest_tiles_is_refused_with_one_that_is_enough(device):
    a, shape = architecture(2, 4, 32), (1, 5000, 5000)
    with pytest.raises(InputError, match=r"memory-gb\): is 0.3, but .* need \d\.\d+ even") as error:
        plan_tiling(plan_of(a), shape, 1, device, 0.3)
    enough = float(re.search(r"need ([\d.]+) even", str(error.value))[1])
    assert plan_tiling(plan_of(a), shape, 1, device, enough).tile_px < (400, 400)
    with pytest.raises(InputError):
        plan_tiling(plan_of(a), shape, 1, device, enough - 0.002)


def test_half_the_bytes_per_value_give_room_for_larger_tiles():
    a, shape = architecture(2, 4, 32), (1, 5000, 5000)
    fp32, bf16 = (plan_tiling(plan_of(a), shape, 1, cpu(p), 1.2) for p in ("fp32", "bf16"))
    assert prod(bf16.tile_px) > prod(fp32.tile_px)


def test_a_gpu_needs_no_room_for_blocks():
    a, shape = architecture(2, 4, 32), (1, 200_000, 200_000)
    (smallest_px, _), (planned_px, _) = (
        plan_tiling(plan_of(a), shape, 1, device, 2).tile_px
        for device in (cpu("bf16"), gpu("bf16"))
    )
    assert smallest_px < planned_px
    assert plan_tiling(plan_of(a), shape, 1, gpu("bf16"), 2).bytes <= 1 * GB


KEPT_AND_GIVEN_BACK = """\
import psutil, torch
from overtile.networks.device import give_back_freed_memory, prepare_torch

prepare_torch("cpu", 1)
resident = psutil.Process().memory_info
before = resident().rss
maps = [torch.zeros(10**7) for _ in range(10)]
last = torch.zeros(1)
del maps
kept = resident().rss - before
give_back_freed_memory()
print(kept, resident().rss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the C library is not glibc")
def test_maps_are_kept_for_the_next_ones_and_given_back_after_a_block():
    call = [sys.executable, "-c", KEPT_AND_GIVEN_BACK]
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    said = subprocess.run(call, env=environment, capture_output=True, text=True, check=True).stdout
    kept, left = map(int, said.split())
    assert kept > 350e6
    assert left < 50e6
