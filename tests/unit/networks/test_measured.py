"""Memory counted on the meta device: against the layers' own formulas, and what torch takes."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from overtile.networks import measured
from overtile.networks.unet.family import UNET, Architecture, choose_levels
from tests.toy_families import TOY, ToyArchitecture

ROOT = Path(__file__).resolve().parents[3]
CUBIC, COARSE = (1.0, 1.0, 1.0), (3.0, 1.0, 1.0)
PADDED = ToyArchitecture(2, 1, 2, 32)


def unet(ndim, depth, width, spacing=CUBIC, norm="none") -> Architecture:
    return Architecture(ndim, 1, 2, width, *choose_levels(ndim, depth, spacing), norm=norm)


@pytest.mark.parametrize("norm", ["none", "batch", "instance"])
@pytest.mark.parametrize(
    ("ndim", "depth", "spacing"), [(2, 2, CUBIC), (3, 1, CUBIC), (3, 2, COARSE)]
)
def test_parameters_and_largest_maps_are_those_of_the_formulas(ndim, depth, spacing, norm):
    a = unet(ndim, depth, 4, spacing, norm)
    _, output = a.geometry.sizes_for((21,) * ndim)
    assert measured.count_parameters(UNET, a) == UNET.parameters(a)
    assert measured.largest_map(UNET, a, output) == UNET.largest_map(a, output)


@pytest.mark.parametrize(
    ("a", "tile_px"),
    [
        (unet(2, 4, 64), (388, 388)),
        (unet(2, 2, 16, norm="instance"), (300, 300)),
        (unet(3, 2, 8, norm="instance"), (24, 40, 40)),
        (unet(3, 2, 8, COARSE), (16, 64, 64)),
    ],
)
@pytest.mark.parametrize("value_bytes", [2, 4])
def test_the_meta_device_and_a_walk_through_the_layers_agree(a, tile_px, value_bytes):
    walked = UNET.pass_bytes(a, tile_px, value_bytes)
    assert 0.97 * walked <= measured.pass_bytes(UNET, a, tile_px, value_bytes) <= 1.15 * walked


@given(st.tuples(st.integers(1, 700), st.integers(1, 700)))
@settings(max_examples=15, deadline=None)
def test_between_sizes_that_were_run_the_bytes_are_never_too_few(tile_px):
    a = unet(2, 3, 8)
    source, output = a.geometry.sizes_for(tile_px)
    network = measured._network(UNET.build, a, torch.float32)
    true = measured.count_pass(network, (1, 1, *source), is_training=False).peak
    assert true <= measured.pass_bytes(UNET, a, output, 4) <= 1.3 * true


def test_a_backward_pass_keeps_the_maps_of_the_forward_pass():
    network = measured._network(TOY.build, PADDED, torch.float32)
    forward, training = (
        measured.count_pass(network, (1, 1, 104, 104), is_training) for is_training in (False, True)
    )
    maps = 4 * 104 * 104 * (1 + 32 + 2)
    assert forward.peak == maps
    assert training.peak >= maps + 4 * 104 * 104 * 32 + 4 * TOY.parameters(PADDED)
    assert all(p.grad is None for p in network.parameters())


PEAK = """\
import re, sys, torch
from overtile.networks.device import Device, prepare_torch
from overtile.networks.fuse import ready_for_inference
from tests.toy_families import TOY
from tests.unit.networks.test_measured import PADDED

def most_bytes():  # of this program alone: ru_maxrss is never below that of whoever started it
    with open("/proc/self/status") as file:
        return 1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", file.read())[1])

prepare_torch("cpu", 1)
edge = int(sys.argv[1])
network = ready_for_inference(TOY.build(PADDED), Device(torch.device("cpu"), "fp32", 1), 2)
with torch.inference_mode():
    network(torch.zeros(1, 1, 64, 64))
    before = most_bytes()
    network(torch.zeros(1, 1, edge + 4, edge + 4))
print(most_bytes() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="high-water marks are in /proc")
def test_a_padded_network_takes_what_the_meta_device_says():
    call = [sys.executable, "-c", PEAK, "2000"]
    environment = {"PYTHONPATH": f"{ROOT / 'scripts'}:{ROOT}", "PATH": ""}
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=True)
    true, predicted = int(done.stdout), TOY.pass_bytes(PADDED, (2000, 2000), 4)
    assert 0.9 * true <= predicted <= 1.15 * true
