"""Tiled prediction equals the network on the whole mirrored picture: no seams."""

import numpy as np
import pytest
import torch

from overtile.geometry.spans import plan_blocks, read_mirrored
from overtile.inference.predict import predict_block, quantise, tile_grid
from overtile.networks.architecture import Architecture, choose_levels
from overtile.networks.unet import UNet


def make_network(ndim, depth, norm="none", spacing=(1.0, 1.0, 1.0), channels=1):
    """A random network with random batch statistics, as a function, and its architecture."""
    torch.manual_seed(depth)
    pools, kernels = choose_levels(ndim, depth, spacing)
    a = Architecture(ndim, channels, 3, 4, pools, kernels, norm=norm)
    network = UNet(a)
    for module in network.modules():
        if hasattr(module, "running_mean"):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    network.eval()

    @torch.inference_mode()
    def run(pixels):
        return network(torch.from_numpy(pixels[None])).softmax(1)[0].numpy()

    return run, a


def whole(run, a, picture):
    """One forward pass over the whole mirrored picture, plane by plane for two axes."""
    ndim = a.ndim
    result = np.empty((a.classes, *picture.shape[1:]), np.float32)
    for z in range(picture.shape[1] if ndim == 2 else 1):
        leading = (z,) if ndim == 2 else ()
        shape = picture.shape[-ndim:]
        source, _ = a.sizes_for(shape)
        start = [-m for m in a.margin_px]
        stop = [n - m for n, m in zip(source, a.margin_px, strict=True)]
        output = run(read_mirrored(picture, start, stop, (slice(None), *leading)))
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
    tiled = predict_block(run, a, picture, block, (tile_px,) * 2)
    assert np.abs(tiled - whole(run, a, picture)).max() < 1e-5


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 1.0, 1.0)])
@pytest.mark.parametrize("tile_px", [4, 9, 100])
def test_tiles_of_a_volume_equal_the_whole(spacing, tile_px):
    run, a = make_network(3, 2, spacing=spacing, channels=2)
    volume = np.random.default_rng(1).normal(size=(2, 9, 14, 23)).astype(np.float32)
    (block,) = plan_blocks(volume.shape[1:], volume.shape[1:])
    tiled = predict_block(run, a, volume, block, (tile_px,) * 3)
    assert np.abs(tiled - whole(run, a, volume)).max() < 1e-5


def test_four_levels_and_blocks_that_begin_anywhere_equal_the_whole():
    run, a = make_network(2, 4)
    picture = np.random.default_rng(2).normal(size=(1, 1, 150, 203)).astype(np.float32)
    expected = whole(run, a, picture)
    for block in plan_blocks((1, 150, 203), (1, 70, 90)):
        part = predict_block(run, a, picture, block, (32, 32))
        assert np.abs(part - expected[(slice(None), *block.slices)]).max() < 1e-5


def test_a_shift_that_is_no_multiple_of_the_stride_would_be_seen():
    run, a = make_network(2, 2)
    picture = np.random.default_rng(3).normal(size=(1, 1, 64, 64)).astype(np.float32)
    shifted = whole(run, a, picture[..., 1:])
    assert np.abs(whole(run, a, picture)[..., 21:40] - shifted[..., 20:39]).max() > 1e-4


def test_tiles_begin_at_multiples_of_the_stride_and_cover_the_box():
    tiles = tile_grid((5, 33), (40, 70), (20, 20), (8, 8))
    assert all(n % 8 == 0 for tile in tiles for n in tile.start)
    covered = {
        (y, x)
        for t in tiles
        for y in range(*t.slices[0].indices(99)[:2])
        for x in range(*t.slices[1].indices(99)[:2])
    }
    assert covered >= {(y, x) for y in range(5, 40) for x in range(33, 70)}


def test_quantised_probabilities_are_off_by_at_most_half_a_step():
    p = np.linspace(0, 1, 1001)
    assert np.abs(quantise(p) / 255 - p).max() <= 0.5 / 255 + 1e-12
