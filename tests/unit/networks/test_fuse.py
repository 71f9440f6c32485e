"""A network made ready to run says what it said before, without batch normalisation."""

from copy import deepcopy

import pytest
import torch

from overtile.networks.blocks import NORM
from overtile.networks.device import Device
from overtile.networks.fuse import ready_for_inference
from overtile.networks.unet.family import Architecture, choose_levels
from overtile.networks.unet.layers import UNet
from overtile.settings.ranges import NORMS

CUBIC = (1.0, 1.0, 1.0)
CASES = [(2, 2, CUBIC), (2, 1, (1.0, 1.0, 2.5)), (3, 1, CUBIC), (3, 2, (3.0, 1.0, 1.0))]


def make_network(ndim, depth, spacing, norm):
    """A network in training mode, with biases, statistics and scales unlike those of the start."""
    torch.manual_seed(depth)
    a = Architecture(ndim, 2, 3, 4, *choose_levels(ndim, depth, spacing), norm=norm)
    network = UNet(a)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (*NORM["batch"].values(), *NORM["instance"].values())):
                if module.track_running_stats:
                    module.running_mean.normal_()
                    module.running_var.uniform_(0.3, 3)
                module.weight.uniform_(0.3, 2)
            if getattr(module, "bias", None) is not None:
                module.bias.normal_(std=0.3)
    source, _ = a.geometry.sizes_for((7,) * ndim)
    return network, torch.randn(3, 2, *source)


def before(network, x):
    with torch.inference_mode():
        return deepcopy(network).eval()(x)


def after(network, x, precision):
    device = Device(torch.device("cpu"), precision, threads=1)
    ready = ready_for_inference(network, device, x.ndim - 2)
    with torch.inference_mode():
        return ready(x), ready


@pytest.mark.parametrize(("ndim", "depth", "spacing"), CASES)
@pytest.mark.parametrize("norm", NORMS)
def test_logits_stay_as_they_were_within_rounding(ndim, depth, spacing, norm):
    network, x = make_network(ndim, depth, spacing, norm)
    expected = before(network, x)
    found, _ = after(network, x, "fp32")
    assert found.dtype == torch.float32
    assert found.shape == expected.shape
    assert expected.std() > 0.1
    assert (found - expected).abs().max() < 1e-4


@pytest.mark.parametrize("ndim", [2, 3])
def test_batch_normalisation_is_gone_and_nothing_is_dropped_out(ndim):
    network, x = make_network(ndim, 1, CUBIC, "batch")
    assert any(isinstance(m, tuple(NORM["batch"].values())) for m in network.modules())
    found, ready = after(network, x, "fp32")
    assert not any(isinstance(m, tuple(NORM["batch"].values())) for m in ready.modules())
    assert not any(m.training for m in ready.modules())
    with torch.inference_mode():
        assert torch.equal(ready(x), found)


@pytest.mark.parametrize("ndim", [2, 3])
def test_instance_normalisation_stays_with_its_scales_and_shifts(ndim):
    network, x = make_network(ndim, 1, CUBIC, "instance")
    _, ready = after(network, x, "fp32")
    kept = [m for m in ready.modules() if isinstance(m, NORM["instance"][ndim])]
    assert len(kept) == 6
    assert all(m.affine and not m.track_running_stats for m in kept)
    # Statistics are those of each tile alone: not of its neighbours in a batch.
    with torch.inference_mode():
        torch.testing.assert_close(ready(x)[:1], ready(x[:1]), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(ready(3 * x + 2), ready(x), atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("norm", NORMS)
def test_bf16_gives_float32_near_the_truth(ndim, norm):
    network, x = make_network(ndim, 1, CUBIC, norm)
    expected = before(network, x)
    found, ready = after(network, x, "bf16")
    assert found.dtype == torch.float32
    assert {p.dtype for p in ready.parameters()} == {torch.bfloat16}
    off = (found - expected).abs()
    assert off.max() > 0
    assert off.mean() < 0.02 * expected.std()
    assert (found.argmax(1) == expected.argmax(1)).float().mean() > 0.97
