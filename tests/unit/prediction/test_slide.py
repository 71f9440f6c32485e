"""Tiled prediction equals the network on the whole mirrored picture: no seams."""

import weakref
from itertools import pairwise
from math import prod

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from overtile.geometry.spans import Block, plan_blocks, read_mirrored
from overtile.networks.unet.family import Architecture, choose_levels
from overtile.networks.unet.layers import UNet
from overtile.prediction.grid import TileTooLarge, batches, tile_grid
from overtile.prediction.tiles import predict_block, predict_box
from overtile.settings.ranges import NORMS

MANY = 64
"""Tiles at once: tiny ones are predicted sooner together."""


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Threads are no help to networks this small, and a hindrance where others compute too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_network(ndim, depth, norm="none", spacing=(1.0, 1.0, 1.0), channels=1):
    """A random network with random batch statistics, as a function, and its architecture."""
    torch.manual_seed(depth)
    pools, kernels = choose_levels(ndim, depth, spacing)
    a = Architecture(ndim, channels, 3, 4, pools, kernels, norm=norm)
    network = UNet(a)
    for module in network.modules():
        if getattr(module, "running_mean", None) is not None:
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    network.eval()

    @torch.inference_mode()
    def run(pixels):
        return network(torch.from_numpy(pixels)).softmax(1).numpy()

    return run, a


def whole(run, a, picture):
    """One forward pass over the whole mirrored picture, plane by plane for two axes."""
    ndim = a.ndim
    result = np.empty((a.classes, *picture.shape[1:]), np.float32)
    for z in range(picture.shape[1] if ndim == 2 else 1):
        leading = (z,) if ndim == 2 else ()
        shape = picture.shape[-ndim:]
        source, _ = a.geometry.sizes_for(shape)
        start = [-m for m in a.geometry.margin_px]
        stop = [n - m for n, m in zip(source, a.geometry.margin_px, strict=True)]
        output = run(read_mirrored(picture, start, stop, (slice(None), *leading))[None])[0]
        output = output[(slice(None), *(slice(0, n) for n in shape))]
        result[(slice(None), *leading)] = output
    return result


CASES_2D = [(1, 64, 64), (1, 97, 131), (3, 33, 50), (1, 5, 7), (1, 1, 40)]


@pytest.mark.parametrize("shape", CASES_2D)
@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("tile_px", [4, 17, 48, 500])
def test_tiles_of_a_picture_equal_the_whole(shape, norm, tile_px):
    run, a = make_network(2, 2, norm)
    picture = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    (block,) = plan_blocks(shape, shape)
    tiled = predict_block(run, a.geometry, picture, block, (tile_px,) * 2, MANY)
    assert np.abs(tiled - whole(run, a, picture)).max() < 1e-5


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 1.0, 1.0)])
@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("tile_px", [4, 9, 100])
def test_tiles_of_a_volume_equal_the_whole(spacing, norm, tile_px):
    run, a = make_network(3, 2, norm, spacing, channels=2)
    volume = np.random.default_rng(1).normal(size=(2, 9, 14, 23)).astype(np.float32)
    (block,) = plan_blocks(volume.shape[1:], volume.shape[1:])
    tiled = predict_block(run, a.geometry, volume, block, (tile_px,) * 3, MANY)
    assert np.abs(tiled - whole(run, a, volume)).max() < 1e-5


def test_four_levels_and_blocks_that_begin_anywhere_equal_the_whole():
    run, a = make_network(2, 4)
    picture = np.random.default_rng(2).normal(size=(1, 1, 150, 203)).astype(np.float32)
    expected = whole(run, a, picture)
    for block in plan_blocks((1, 150, 203), (1, 70, 90)):
        part = predict_block(run, a.geometry, picture, block, (32, 32), MANY)
        assert np.abs(part - expected[(slice(None), *block.slices)]).max() < 1e-5


def test_a_shift_that_is_no_multiple_of_the_stride_would_be_seen():
    run, a = make_network(2, 2)
    picture = np.random.default_rng(3).normal(size=(1, 1, 64, 64)).astype(np.float32)
    shifted = whole(run, a, picture[..., 1:])
    assert np.abs(whole(run, a, picture)[..., 21:40] - shifted[..., 20:39]).max() > 1e-4


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("norm", NORMS)
def test_a_network_says_that_it_is_exact_if_and_only_if_its_tiles_equal_the_whole(ndim, norm):
    run, a = make_network(ndim, 1, norm)
    picture = np.random.default_rng(4).normal(size=(1, 1, *(24,) * ndim)).astype(np.float32)
    leading, start, stop = (0,), (0,) * ndim, (24,) * ndim
    tiles = predict_box(run, a.geometry, picture, leading, start, stop, (8,) * ndim, MANY)
    at_once = predict_box(run, a.geometry, picture, leading, start, stop, stop)
    assert a.geometry.is_exact == (np.abs(tiles - at_once).max() < 1e-5)


PICTURES = st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 40))
VOLUMES = st.tuples(*[st.integers(1, 14)] * 3)
SPACINGS = st.sampled_from([(1.0, 1.0, 1.0), (3.0, 1.0, 1.0), (1.0, 1.0, 2.5)])


@st.composite
def cases(draw):
    """A network as function and architecture, a picture for it, and edges of tiles in pixels."""
    ndim = draw(st.sampled_from([2, 3]))
    norm, depth = draw(st.sampled_from(["none", "batch"])), draw(st.integers(1, 2))
    run, a = make_network(ndim, depth, norm, draw(SPACINGS), draw(st.integers(1, 2)))
    shape = draw(PICTURES if ndim == 2 else VOLUMES)
    pixels = np.random.default_rng(draw(st.integers(0, 99))).normal(size=(a.in_channels, *shape))
    tile = draw(st.tuples(*[st.integers(6, 48)] * ndim))
    return run, a, pixels.astype(np.float32), tile


def some_block(data, shape):
    """Any box of a picture."""
    start = [data.draw(st.integers(0, n - 1)) for n in shape]
    stop = [data.draw(st.integers(a + 1, n)) for a, n in zip(start, shape, strict=True)]
    return Block((0, 0, 0), tuple(start), tuple(stop))


@given(cases(), st.integers(1, 5), st.data())
@settings(max_examples=30, deadline=None)
def test_any_block_of_any_picture_in_any_tiles_and_batches_equals_the_whole(case, at_once, data):
    run, a, picture, tile_px = case
    block = some_block(data, picture.shape[1:])
    tiled = predict_block(run, a.geometry, picture, block, tile_px, at_once)
    assert tiled.dtype == np.float32
    assert np.abs(tiled - whole(run, a, picture)[(slice(None), *block.slices)]).max() < 1e-5


def with_limit(run, input_px):
    """A network on a device whose memory holds one tile of so many input pixels, not more."""

    def limited(pixels):
        if prod(pixels.shape[2:]) > input_px:
            raise TileTooLarge
        return run(pixels)

    return limited


def smallest_input(a):
    """Input pixels of a tile that is one stride long."""
    return prod(a.geometry.sizes_for(a.geometry.stride)[0])


@given(cases(), st.floats(1, 4), st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_tiles_too_large_for_the_device_are_cut_until_they_fit_and_equal_the_whole(
    case, factor, at_once
):
    run, a, picture, tile_px = case
    limited = with_limit(run, factor * smallest_input(a))
    block = Block((0, 0, 0), (0, 0, 0), picture.shape[1:])
    tiled = predict_block(limited, a.geometry, picture, block, tile_px, at_once)
    assert np.abs(tiled - whole(run, a, picture)).max() < 1e-5


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_device_too_small_for_the_smallest_tile_is_told_of(ndim):
    run, a = make_network(ndim, 2)
    limited = with_limit(run, smallest_input(a) - 1)
    picture = np.zeros((1, 9, 9, 9), np.float32)
    with pytest.raises(TileTooLarge, match=r"tile of \(4, 4.*\) px does not fit"):
        predict_block(
            limited, a.geometry, picture, Block((0,) * 3, (0,) * 3, (9,) * 3), (8,) * ndim
        )


def test_what_a_failed_tile_took_is_free_when_its_halves_run():
    run, a = make_network(2, 2)
    held = []

    class Maps:
        """What a device holds of a tile."""

    def limited(pixels):
        maps = Maps()
        assert not [other for other in held if other() is not None]
        if pixels.shape[-1] > smallest_input(a) ** 0.5:
            held.append(weakref.ref(maps))
            raise_as_the_predictor_does()
        return run(pixels)

    def raise_as_the_predictor_does():
        try:
            raise torch.OutOfMemoryError
        except torch.OutOfMemoryError as error:
            raise TileTooLarge(str(error)) from None

    picture = np.zeros((1, 1, 16, 16), np.float32)
    predict_block(limited, a.geometry, picture, Block((0,) * 3, (0,) * 3, (1, 16, 16)), (16, 16))
    assert held


@given(cases(), st.integers(1, 5), st.data())
@settings(max_examples=20, deadline=None)
def test_tiles_that_nobody_wants_stay_0_and_the_others_are_as_ever(case, at_once, data):
    run, a, picture, tile_px = case
    block = some_block(data, picture.shape[1:])
    seed = data.draw(st.integers(0, 99))
    asked = {}

    def wanted(tile):
        assert len(tile.shape) == 3
        rng = np.random.default_rng([seed, *tile.start])
        return asked.setdefault((tile.start, tile.stop), bool(rng.integers(2)))

    found = predict_block(run, a.geometry, picture, block, tile_px, at_once, wanted)
    if not any(asked.values()):
        assert found is None
        return
    expected = predict_block(run, a.geometry, picture, block, tile_px, at_once)
    for (start, stop), is_wanted in asked.items():
        low, high = np.maximum(start, block.start), np.minimum(stop, block.stop)
        inside = tuple(map(slice, low - block.start, high - block.start))
        if not is_wanted:
            expected[(slice(None), *inside)] = 0
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_tile_that_nobody_wants_costs_nothing():
    run, a = make_network(2, 2)
    seen = []

    def counted(pixels):
        seen.append(len(pixels))
        return run(pixels)

    picture = np.zeros((1, 1, 32, 32), np.float32)
    predict_box(
        *(counted, a.geometry, picture, (0,), (0, 0), (32, 32), (8, 8), 3),
        wanted=lambda tile: tile.start[0] == 8,
    )
    assert seen == [3, 1]


def test_planes_are_asked_for_one_by_one():
    run, a = make_network(2, 2)
    picture = np.random.default_rng(0).normal(size=(1, 4, 9, 9)).astype(np.float32)
    block = Block((0, 0, 0), (1, 0, 0), (4, 9, 9))
    found = predict_block(
        run, a.geometry, picture, block, (8, 8), wanted=lambda tile: tile.start[0] == 2
    )
    assert not found[:, [0, 2]].any()
    np.testing.assert_allclose(found[:, 1], whole(run, a, picture)[:, 2], atol=1e-5)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12)), min_size=2, max_size=3),
    st.integers(1, 5),
    st.data(),
)
@settings(deadline=None)
def test_tiles_begin_at_multiples_of_the_stride_and_cover_the_box_once(box, size, data):
    start, stop = [a for a, _ in box], [a + n for a, n in box]
    stride = [data.draw(st.sampled_from([1, 2, 4, 8])) for _ in box]
    edge = [data.draw(st.integers(1, 16)) for _ in box]
    tiles = tile_grid(start, stop, edge, stride)
    covered = np.zeros(stop, int)
    for tile in tiles:
        assert all(n % s == 0 for n, s in zip(tile.start, stride, strict=True))
        assert all(n <= max(e, s) for n, e, s in zip(tile.shape, edge, stride, strict=True))
        covered[tile.slices] += 1
    assert (covered[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] == 1).all()
    together = list(batches(tiles, size))
    assert [tile for batch in together for tile in batch] == tiles
    assert all(len({tile.shape for tile in batch}) == 1 for batch in together)
    assert max(map(len, together)) <= size
    for one, other in pairwise(together):
        assert len(one) == size or one[0].shape != other[0].shape
