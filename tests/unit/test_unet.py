"""The network: sizes, parameters, and what a pixel sees."""

from itertools import pairwise

import pytest
import torch

from overtile.networks.architecture import Architecture, choose_levels
from overtile.networks.unet import NORM, UNet
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
    assert paper.sizes_for((388, 388)) == ((572, 572), (388, 388))
    assert paper.margin_px == (92, 92)
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
        source, output = a.sizes_for((wanted,) * ndim)
        assert all(n >= wanted for n in output)
        with torch.inference_mode():
            assert UNet(a)(torch.zeros(1, 1, *source)).shape == (1, 2, *output)


def test_a_coarse_axis_is_neither_pooled_nor_convolved_before_the_others_catch_up():
    pools, kernels = choose_levels(3, 3, (4.0, 1.0, 1.0))
    assert pools == ((1, 2, 2), (1, 2, 2), (2, 2, 2))
    assert kernels == ((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3))


def test_an_architecture_survives_plain_values():
    a = architecture(3, 2, spacing=(3.0, 1.0, 1.0), norm="batch", dropout=0.1)
    assert read_record(Architecture, to_plain(a), "a.yaml") == a


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 1.0, 1.0)])
def test_parameters_are_counted_as_torch_counts_them(ndim, depth, norm, spacing):
    a = architecture(ndim, depth, spacing=spacing, norm=norm)
    assert a.parameters == sum(p.numel() for p in UNet(a).parameters())


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("depth", [1, 2])
def test_the_largest_map_is_the_largest_that_a_layer_takes_or_gives(ndim, depth):
    for spacing in ((1.0, 1.0, 1.0), (3.0, 1.0, 1.0)):
        a = architecture(ndim, depth, spacing=spacing)
        for wanted in (1, 21):
            source, output = a.sizes_for((wanted,) * ndim)
            sizes = []

            def note(layer, taken, given, sizes=sizes):
                sizes.extend((*(t.numel() for t in taken), given.numel()))

            network = UNet(a)
            for layer in network.modules():
                if not list(layer.children()):
                    layer.register_forward_hook(note)
            with torch.inference_mode():
                network(torch.zeros(1, 1, *source))
            assert a.largest_map(output) == max(sizes)


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
