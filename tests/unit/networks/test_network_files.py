"""Files of network weights: the same bytes whatever the layout, and never of another network."""

import pytest
import torch
from safetensors.torch import save_file

from overtile.errors import InputError
from overtile.networks.limits import LARGEST_MAP, MEMORY_BYTES, MOST_PARAMETERS
from overtile.networks.unet.family import UNET
from overtile.networks.unet.layers import UNet
from overtile.networks.weights import load_network, pack_weights
from tests.plans import SMALL


@pytest.fixture
def network() -> UNet:
    torch.manual_seed(0)
    return UNet(SMALL)


def test_the_layout_in_memory_changes_no_byte_of_a_file_and_numbers_come_back(network, tmp_path):
    plain = pack_weights(network.state_dict())
    turned = network.to(memory_format=torch.channels_last)
    assert not turned.down[0][2].weight.is_contiguous()
    assert pack_weights(turned.state_dict()) == plain
    (tmp_path / "w.safetensors").write_bytes(plain)
    again = load_network(tmp_path / "w.safetensors", UNET, SMALL).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in network.state_dict().items())


def test_a_file_with_a_tensor_too_many_is_refused_by_the_tensors_name(network, tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({**network.state_dict(), "head.scale": torch.ones(3)}, path)
    with pytest.raises(InputError, match=r"\(head.scale is \(3,\), expected none\); package"):
        load_network(path, UNET, SMALL)


def test_a_lost_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match="w.safetensors: no such file; package") as refused:
        load_network(tmp_path / "w.safetensors", UNET, SMALL)
    assert "\n" not in str(refused.value)


def test_as_many_parameters_are_allowed_as_fit_with_what_adam_keeps_of_them(network):
    optimiser = torch.optim.Adam(network.parameters())
    network(torch.zeros(1, 1, *SMALL.geometry.sizes_for((1, 1))[0])).sum().backward()
    optimiser.step()
    moments = [s[name] for s in optimiser.state.values() for name in ("exp_avg", "exp_avg_sq")]
    kept = [*network.parameters(), *(p.grad for p in network.parameters()), *moments]
    kept_bytes = sum(t.numel() * t.element_size() for t in kept)
    assert MEMORY_BYTES // (kept_bytes // UNET.parameters(SMALL)) == MOST_PARAMETERS


def test_the_largest_map_fits_twice():
    number = torch.zeros(1).element_size()
    assert 2 * number * LARGEST_MAP <= MEMORY_BYTES < 2 * number * (LARGEST_MAP + 1)
