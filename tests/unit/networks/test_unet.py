"""The network: sizes, parameters, and what a pixel sees."""

from itertools import pairwise

import pytest
import torch
from scipy.stats import kstest

from overtile.networks.blocks import CONV, NORM, UP, BlockMax, crop
from overtile.networks.unet.family import UNET, Architecture, choose_levels
from overtile.networks.unet.layers import UNet
from overtile.settings.checks import read_record, to_plain
from overtile.settings.ranges import NORMS

CUBIC = (1.0, 1.0, 1.0)


def architecture(ndim=2, depth=2, width=2, spacing=CUBIC, **others) -> Architecture:
    pools, kernels = choose_levels(ndim, depth, spacing)
    return Architecture(ndim, 1, 2, width, pools, kernels, **others)


def test_the_papers_network_has_31030658_parameters_and_23_convolutional_layers():
    network = UNet(architecture(depth=4, width=64))
    convolutions = [m for m in network.modules() if hasattr(m, "kernel_size") and m._parameters]
    assert sum(p.numel() for p in network.parameters()) == 31_030_658
    assert len(convolutions) == 23


def test_the_papers_network_maps_572_to_388_pixels():
    paper = architecture(depth=4, width=64)
    assert paper.geometry.sizes_for((388, 388)) == ((572, 572), (388, 388))
    assert paper.geometry.margin_px == (92, 92)
    with torch.inference_mode():
        small = UNet(architecture(depth=4, width=1))
        assert small(torch.zeros(1, 1, 572, 572)).shape == (1, 2, 388, 388)


@pytest.mark.parametrize(
    ("ndim", "depth", "spacing"),
    [(2, 1, CUBIC), (2, 3, CUBIC), (3, 1, CUBIC), (3, 2, CUBIC), (3, 2, (5.0, 1.0, 1.0))],
)
def test_sizes_are_those_of_a_true_forward_pass(ndim, depth, spacing):
    a = architecture(ndim, depth, spacing=spacing)
    for wanted in (1, 7, 16, 21):
        source, output = a.geometry.sizes_for((wanted,) * ndim)
        assert all(n >= wanted for n in output)
        with torch.inference_mode():
            assert UNet(a)(torch.zeros(1, 1, *source)).shape == (1, 2, *output)


def test_a_coarse_axis_is_neither_pooled_nor_convolved_before_the_others_catch_up():
    pools, kernels = choose_levels(3, 3, (4.0, 1.0, 1.0))
    assert pools == ((1, 2, 2), (1, 2, 2), (2, 2, 2))
    assert kernels == ((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3))


def test_a_network_of_two_axes_pools_by_y_and_x_however_coarse_z_is():
    assert choose_levels(2, 2, (4.0, 1.0, 1.0)) == choose_levels(2, 2, CUBIC)
    assert choose_levels(2, 2, (1.0, 1.0, 4.0)) == (((2, 1), (2, 1)), ((3, 1), (3, 1), (3, 3)))


@pytest.mark.parametrize(("ndim", "depth"), [(2, 1), (2, 4), (3, 3)])
def test_the_outputs_that_a_network_can_give_are_a_stride_apart(ndim, depth):
    a = architecture(ndim, depth, spacing=(4.0, 1.0, 1.0))
    sizes = [a.geometry.sizes_for((n,) * ndim)[1] for n in range(1, 100)]
    for axis, stride in enumerate(a.geometry.stride):
        steps = {after - before for before, after in pairwise(sorted({s[axis] for s in sizes}))}
        assert steps == {stride}


@pytest.mark.parametrize("norm", NORMS)
def test_a_network_is_exact_if_a_tile_of_the_input_gives_the_same_tile_of_the_output(norm):
    torch.manual_seed(0)
    a = architecture(depth=1, norm=norm)
    (source, output), (whole, _) = a.geometry.sizes_for((8, 8)), a.geometry.sizes_for((20, 20))
    network, x = UNet(a).eval(), torch.randn(1, 1, *whole)
    with torch.inference_mode():
        tile = network(x[..., : source[0], : source[1]])
        difference = tile - network(x)[..., : output[0], : output[1]]
    assert a.geometry.is_exact == (difference.abs().max().item() < 1e-5)


def test_an_architecture_survives_plain_values():
    a = architecture(3, 2, spacing=(3.0, 1.0, 1.0), norm="batch", dropout=0.1)
    assert read_record(Architecture, to_plain(a), "a.yaml") == a


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 1.0, 1.0)])
def test_parameters_are_counted_as_torch_counts_them(ndim, depth, norm, spacing):
    a = architecture(ndim, depth, spacing=spacing, norm=norm)
    assert UNET.parameters(a) == sum(p.numel() for p in UNet(a).parameters())


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("depth", [1, 2])
def test_the_largest_map_is_the_largest_that_a_layer_takes_or_gives(ndim, depth):
    for spacing in ((1.0, 1.0, 1.0), (3.0, 1.0, 1.0)):
        a = architecture(ndim, depth, spacing=spacing)
        for wanted in (1, 21):
            source, output = a.geometry.sizes_for((wanted,) * ndim)
            sizes = []

            def note(layer, taken, given, sizes=sizes):
                sizes.extend((*(t.numel() for t in taken), given.numel()))

            network = UNet(a)
            for layer in network.modules():
                if not list(layer.children()):
                    layer.register_forward_hook(note)
            with torch.inference_mode():
                network(torch.zeros(1, 1, *source))
            assert UNET.largest_map(a, output) == max(sizes)


@pytest.mark.parametrize("ndim", [2, 3])
def test_each_convolution_is_followed_by_the_norm_asked_for_which_takes_the_place_of_its_bias(ndim):
    for norm, kind in (("none", torch.nn.ReLU), *((n, NORM[n][ndim]) for n in NORM)):
        for block in (*(network := UNet(architecture(ndim, 1, norm=norm))).down, *network.up):
            for layer, following in pairwise(block):
                if hasattr(layer, "kernel_size"):
                    assert isinstance(following, kind)
                    assert (layer.bias is None) == (norm != "none")
    assert {"none", *NORM} == set(NORMS)


def test_weights_begin_with_the_variance_of_he_initialisation():
    torch.manual_seed(0)
    network = UNet(architecture(depth=2, width=32))
    layer = network.down[2][0]
    assert layer.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    up = network.grow[1][0]
    assert up.weight.std().item() == pytest.approx((2 / 128) ** 0.5, rel=0.02)
    assert all(
        (m.bias == 0).all() for m in network.modules() if getattr(m, "bias", None) is not None
    )


def test_dropout_sits_at_the_end_of_the_contracting_path_only():
    network = UNet(architecture(depth=3, width=2, dropout=0.5))
    drops = [any(isinstance(m, torch.nn.Dropout) for m in block) for block in network.down]
    assert drops == [False, False, True, True]
    assert not any(isinstance(m, torch.nn.Dropout) for m in network.up.modules())


def test_dropout_comes_last_in_its_block_and_each_up_convolution_ends_with_a_relu():
    network = UNet(architecture(depth=2, dropout=0.5))
    for block in network.down[1:]:
        drops = [n for n, m in enumerate(block) if isinstance(m, torch.nn.Dropout)]
        assert drops == [len(block) - 1]
    for grow in network.grow:
        assert [type(m) for m in grow] == [UP[2], torch.nn.ReLU]


def test_channels_double_with_each_level_and_are_halved_on_the_way_back():
    network = UNet(architecture(depth=3, width=4))
    assert [block[0].in_channels for block in network.down] == [1, 4, 8, 16]
    assert [block[0].out_channels for block in network.down] == [4, 8, 16, 32]
    assert [(g[0].in_channels, g[0].out_channels) for g in network.grow] == [
        (8, 4),
        (16, 8),
        (32, 16),
    ]
    assert [block[0].in_channels for block in network.up] == [8, 16, 32]  # with the skip connection
    assert [block[0].out_channels for block in network.up] == [4, 8, 16]
    assert (network.head.in_channels, network.head.out_channels) == (4, 2)


def test_convolutions_are_valid_3_by_3_pools_2_by_2_and_the_head_1_by_1():
    network = UNet(architecture(depth=2, width=2))
    for layers in (*network.down, *network.up):
        convolutions = [layer for layer in layers if isinstance(layer, CONV[2])]
        assert [layer.kernel_size for layer in convolutions] == [(3, 3), (3, 3)]
        assert all(layer.padding == (0, 0) and layer.stride == (1, 1) for layer in convolutions)
    assert [pool.kernel_size for pool in network.pool] == [(2, 2), (2, 2)]
    assert all(g[0].kernel_size == g[0].stride == (2, 2) for g in network.grow)
    assert network.head.kernel_size == (1, 1)


@pytest.mark.parametrize("factors", [(1, 2, 2), (2, 2, 2), (2, 1, 3)])
def test_the_maximum_over_boxes_is_that_of_max_pooling_and_so_is_its_gradient(factors):
    shape = [2 * f for f in factors]
    x = torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(0))
    one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    pooled, wanted = BlockMax(factors)(one), torch.nn.MaxPool3d(factors)(other)
    assert torch.equal(pooled, wanted)
    (pooled**2).sum().backward()
    (wanted**2).sum().backward()
    assert torch.equal(one.grad, other.grad)


def test_a_skip_connection_is_cropped_to_its_centre():
    skip = torch.arange(48.0).reshape(1, 1, 6, 8)
    cropped = crop(skip, (2, 4))
    assert torch.equal(cropped, skip[:, :, 2:4, 2:6])


def test_a_forward_pass_is_that_of_its_layers_one_by_one():
    torch.manual_seed(0)
    a = architecture(depth=1, width=3, norm="batch", dropout=0.0)
    network = UNet(a).eval()
    source, _ = a.geometry.sizes_for((8, 8))
    x = torch.randn(1, 1, *source)
    with torch.inference_mode():
        skip = network.down[0](x)
        up = network.grow[0](network.down[1](torch.nn.functional.max_pool2d(skip, 2)))
        lost = (skip.shape[2] - up.shape[2]) // 2
        joined = torch.cat([skip[:, :, lost:-lost, lost:-lost], up], dim=1)
        assert torch.allclose(network(x), network.head(network.up[0](joined)))


@pytest.mark.parametrize("ndim", [2, 3])
def test_all_layers_begin_with_he_initialisation_by_their_incoming_connections(ndim):
    torch.manual_seed(0)
    for layer in UNet(architecture(ndim, 2, 16)).modules():
        if isinstance(layer, (CONV[ndim], UP[ndim])):
            taps = (
                1 if isinstance(layer, UP[ndim]) else torch.tensor(layer.kernel_size).prod().item()
            )
            wanted = (2 / (layer.in_channels * taps)) ** 0.5
            tolerance = 5 / layer.weight.numel() ** 0.5
            assert layer.weight.std().item() == pytest.approx(wanted, rel=tolerance)
            assert abs(layer.weight.mean().item()) < tolerance * wanted


def test_weights_begin_normally_distributed():
    torch.manual_seed(0)
    weights = UNet(architecture(width=32)).down[2][2].weight.detach().flatten().numpy()
    assert kstest(weights / weights.std(), "norm").pvalue > 0.001
