"""How fast slides are predicted: beside the bare network, and beside MONAI's sliding window.

    python benchmarks/prediction.py [--edge-px 8192] [--width 16] [--precision bf16]

Prints Markdown tables. All rows of a table are timed in one run, with the same network, weights,
precision and threads. MONAI (pip install monai) sees the same network, wrapped to keep its input's
size by mirrored padding, with its default overlap of a quarter and Gaussian weights.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from overtile.geometry.spans import plan_blocks  # noqa: E402
from overtile.inference.memory import plan_tiling  # noqa: E402
from overtile.inference.predict import Normalised  # noqa: E402
from overtile.inference.predictor import QUANTISATION  # noqa: E402
from overtile.inference.tiles import predict_block  # noqa: E402
from overtile.networks.architecture import Architecture, choose_levels  # noqa: E402
from overtile.networks.device import Device, choose_device  # noqa: E402
from overtile.networks.fuse import ready_for_inference  # noqa: E402
from overtile.networks.unet import UNet  # noqa: E402
from overtile.stores.store import Store  # noqa: E402
from overtile.stores.writer import StoreWriter  # noqa: E402

MEMORY_GB = 4.0
MONAI_WINDOW_PX = {2: (512, 512), 3: (96, 96, 96)}


def make_slide(folder: Path, shape: tuple[int, int, int]) -> Store:
    """A slide of smooth noise, uint8, in one channel."""
    rng = np.random.default_rng(0)
    writer = StoreWriter(folder, "benchmark", "picture")
    writer.add_array("0", (1, *shape), np.uint8, "czyx")

    def draw(block):
        return rng.integers(0, 255, block.shape, np.uint8)[None], {}

    writer.fill("0", draw, "slide")
    writer.commit({}, mean=[127.0], std=[70.0], pixel_size_um=None)
    return Store.open(folder)


def make_network(ndim: int, width: int, depth: int, device: Device):
    """A network with random weights, ready to run, and its architecture."""
    torch.manual_seed(0)
    pools, kernels = choose_levels(ndim, depth, (1.0,) * 3)
    architecture = Architecture(ndim, 1, 2, width, pools, kernels)
    return ready_for_inference(UNet(architecture), device), architecture


def quantised(network, device: Device) -> Callable[[np.ndarray], np.ndarray]:
    """The network from pixels to stored values, as `inference.predictor` runs it."""

    @torch.inference_mode()
    def run(pixels: np.ndarray) -> np.ndarray:
        p = network(torch.from_numpy(pixels).to(device.torch)).softmax(dim=1)
        return (p * QUANTISATION).round_().to(torch.uint8).cpu().numpy()

    return run


def whole_step(slide: Store, run, architecture, tiling, folder: Path) -> None:
    """Read, predict, write: what predict.py does after its start."""
    writer = StoreWriter(folder, "benchmark", "probabilities")
    writer.add_array("0", (architecture.classes, *slide.shape), np.uint8, "czyx")

    def predict(block):
        pixels = Normalised(slide)
        found = predict_block(run, architecture, pixels, block, tiling.tile_px, tiling.batch_tiles)
        return found, {}

    writer.fill("0", predict, "overtile", workers=2)


def bare_network(run, architecture, tiling, shape: tuple[int, int, int], tiles: int) -> float:
    """Seconds that the network alone takes for a slide, from `tiles` tiles in memory."""
    source, _ = architecture.sizes_for(tiling.tile_px)
    pixels = np.random.default_rng(0).normal(size=(1, 1, *source)).astype(np.float32)
    run(pixels)
    seconds = []
    for _ in range(tiles):
        start = time.perf_counter()
        run(pixels)
        seconds.append(time.perf_counter() - start)
    edges = tiling.tile_px if architecture.ndim == 3 else (1, *tiling.tile_px)
    return statistics.median(seconds) * len(plan_blocks(shape, edges))


def monai_window(slide: Store, network, architecture, device: Device) -> float:
    """Seconds of MONAI's sliding_window_inference, from pixels in memory to probabilities."""
    from monai.inferers import sliding_window_inference

    margin = [m for m in reversed(architecture.margin_px) for _ in range(2)]
    stride = architecture.stride

    def same_size(x: torch.Tensor) -> torch.Tensor:
        source, output = architecture.sizes_for(tuple(x.shape[2:]))
        more = [
            s - n - 2 * m
            for s, n, m in zip(source, x.shape[2:], architecture.margin_px, strict=True)
        ]
        pad = list(margin)
        for axis, extra in enumerate(reversed(more)):
            pad[2 * axis + 1] += extra
        logits = network(functional.pad(x, pad, mode="reflect"))
        return logits[(..., *(slice(0, n) for n in x.shape[2:]))].softmax(dim=1)

    assert all(n % s == 0 for n, s in zip(MONAI_WINDOW_PX[architecture.ndim], stride, strict=True))
    pixels = np.asarray(Normalised(slide)[:])[None]
    picture = torch.from_numpy(pixels if architecture.ndim == 3 else pixels[:, :, 0])
    with torch.inference_mode():
        start = time.perf_counter()
        sliding_window_inference(
            picture.to(device.torch),
            MONAI_WINDOW_PX[architecture.ndim],
            1,
            same_size,
            mode="gaussian",
        )
        return time.perf_counter() - start


def compare(title: str, shape: tuple[int, int, int], ndim: int, width: int, depth: int, device):
    """One table: bare network, the whole step, and MONAI."""
    network, architecture = make_network(ndim, width, depth, device)
    run = quantised(network, device)
    with tempfile.TemporaryDirectory() as folder:
        slide = make_slide(Path(folder) / "slide.ome.zarr", shape)
        tiling = plan_tiling(architecture, shape, 1, device, MEMORY_GB)
        before = bare_network(run, architecture, tiling, shape, 5)
        start = time.perf_counter()
        whole_step(slide, run, architecture, tiling, Path(folder) / "p.ome.zarr")
        ours = time.perf_counter() - start
        bare = statistics.mean([before, bare_network(run, architecture, tiling, shape, 5)])
        theirs = monai_window(slide, network, architecture, device)
    pixels = np.prod(shape)
    print(f"\n### {title}, width {width}, {device.precision}, {device.threads} threads\n")
    print(f"Tiles of {tiling.tile_px} px, chosen for {MEMORY_GB} GB.\n")
    print("| | seconds | Mpx/s | beside overtile |\n|---|---|---|---|")
    rows = {"bare network, tiles in memory": bare, "overtile, from store to store": ours}
    for name, seconds in {**rows, "MONAI, in memory": theirs}.items():
        print(f"| {name} | {seconds:.1f} | {pixels / seconds / 1e6:.2f} | {seconds / ours:.2f} |")
    sys.stdout.flush()


def paper_tile(device: Device) -> None:
    """A 512 x 512 picture through the paper's network of 31 million parameters."""
    network, architecture = make_network(2, 64, 4, device)
    source, _ = architecture.sizes_for((512, 512))
    pixels = torch.randn(1, 1, *source)
    seconds = []
    with torch.inference_mode():
        for _ in range(8):
            start = time.perf_counter()
            network(pixels)
            seconds.append(time.perf_counter() - start)
    print(
        f"\n512 x 512 px through the 31-million-parameter U-Net, {device.precision}, "
        f"{device.threads} threads: {statistics.median(seconds[1:]):.2f} s."
    )


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edge-px", type=int, default=8192, help="of the slide")
    parser.add_argument("--volume-px", type=int, nargs=3, default=(256, 1024, 1024))
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    args = parser.parse_args()
    device = choose_device(args.device, args.precision, os.cpu_count() or 1)
    paper_tile(device)
    edge = args.edge_px
    compare(f"Slide of {edge} x {edge} px", (1, edge, edge), 2, args.width, 4, device)
    volume = tuple(args.volume_px)
    compare(f"Volume of {volume} px", volume, 3, args.width // 2, 2, device)


if __name__ == "__main__":
    main()
