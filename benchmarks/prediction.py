"""How fast slides are predicted: beside the bare network, and beside MONAI's sliding window.

    python benchmarks/prediction.py [--edge-px 8192] [--width 16] [--precision bf16]

Prints Markdown tables. All rows of a table are timed in one run, with the same network, weights,
precision and threads. MONAI (pip install monai) sees the same network, wrapped to keep its input's
size by mirrored padding, with its default overlap of a quarter and Gaussian weights, in a process
of its own with the C library's own allocator settings, as its users run it.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from network_plan import plan_unet
from own_process import in_own_process
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from overtile.geometry.spans import plan_blocks  # noqa: E402
from overtile.networks.channels import STEPS  # noqa: E402
from overtile.networks.device import (  # noqa: E402
    Device,
    choose_device,
    give_back_freed_memory,
)
from overtile.networks.fuse import ready_for_inference  # noqa: E402
from overtile.networks.normalise import Normalised  # noqa: E402
from overtile.prediction.memory import BLOCKS_AT_ONCE, SHARD_SCALE, plan_tiling  # noqa: E402
from overtile.prediction.tiles import predict_block  # noqa: E402
from overtile.stores.ngff import multiscale_attributes  # noqa: E402
from overtile.stores.store import Store  # noqa: E402
from overtile.stores.writer import StoreWriter  # noqa: E402

MEMORY_GB = 4.0
BARE_TILES = 5
MONAI_WINDOW_PX = {2: (512, 512), 3: (96, 96, 96)}


def seen(slide: Store) -> Normalised:
    """What a network sees of a slide."""
    return Normalised(slide.array, slide.mean, slide.std)


def make_slide(folder: Path, shape: tuple[int, int, int]) -> Store:
    """A slide of noise, uint8, in one channel."""
    rng = np.random.default_rng(0)
    writer = StoreWriter(folder, "benchmark", "picture")
    writer.add_array("0", (1, *shape), np.uint8, "czyx")

    def draw(block):
        return rng.integers(0, 255, block.shape, np.uint8)[None], {}

    writer.fill("0", draw, label="slide")
    ome = multiscale_attributes(folder.name, "czyx", [(1, 1, 1)], None, is_label=False)
    writer.commit(ome, mean=[127.0], std=[70.0], pixel_size_um=None)
    return Store.open(folder)


@dataclass(frozen=True)
class Case:
    """One comparison: a slide's shape (z, y, x), the network, and where it runs."""

    shape: tuple[int, int, int]
    ndim: int
    width: int
    depth: int
    device: Device
    rounds: int = 1


def make_network(case: Case):
    """A network with random weights, ready to run, and its plan."""
    torch.manual_seed(0)
    plan = plan_unet(case.ndim, case.depth, case.width)
    network = plan.network.build(plan.architecture)
    return ready_for_inference(network, case.device, case.ndim), plan


def quantised(network, device: Device) -> Callable[[np.ndarray], np.ndarray]:
    """The network from pixels to stored values, as `prediction.predictor` runs it."""

    @torch.inference_mode()
    def run(pixels: np.ndarray) -> np.ndarray:
        p = network(torch.from_numpy(pixels).to(device.torch)).softmax(dim=1)
        return (p * STEPS).round_().to(torch.uint8).cpu().numpy()

    return run


def whole_step(slide: Store, run, plan, tiling, folder: Path) -> None:
    """Read, predict, write: what predict.py does after its start."""
    writer = StoreWriter(folder, "benchmark", "probabilities")
    shape = (len(plan.channels), *slide.shape)
    writer.add_array("0", shape, np.uint8, "czyx", SHARD_SCALE)

    def predict(block):
        pixels = seen(slide)
        how = (tiling.tile_px, tiling.batch_tiles)
        found = predict_block(run, plan.geometry, pixels, block, *how)
        give_back_freed_memory()
        return found, {}

    writer.fill("0", predict, label="overtile", workers=BLOCKS_AT_ONCE)


def bare_network(run, plan, tiling, shape: tuple[int, int, int]) -> float:
    """Seconds that the network alone takes for a slide, from a few tiles in memory."""
    source, _ = plan.geometry.sizes_for(tiling.tile_px)
    pixels = np.random.default_rng(0).normal(size=(1, 1, *source)).astype(np.float32)
    run(pixels)
    seconds = []
    for _ in range(BARE_TILES):
        start = time.perf_counter()
        run(pixels)
        seconds.append(time.perf_counter() - start)
    edges = tiling.tile_px if plan.geometry.ndim == 3 else (1, *tiling.tile_px)
    return statistics.median(seconds) * len(plan_blocks(shape, edges))


def monai_window(folder: Path, case: Case) -> float:
    """Seconds of MONAI's sliding_window_inference, from pixels in memory to probabilities."""
    from monai.inferers import sliding_window_inference

    device = case.device
    torch.set_num_threads(device.threads)
    network, plan = make_network(case)
    geometry = plan.geometry
    margin = [m for m in reversed(geometry.margin_px) for _ in range(2)]
    stride = geometry.stride

    def same_size(x: torch.Tensor) -> torch.Tensor:
        source, _ = geometry.sizes_for(tuple(x.shape[2:]))
        sizes = zip(source, x.shape[2:], geometry.margin_px, strict=True)
        more = [s - n - 2 * m for s, n, m in sizes]
        pad = list(margin)
        for axis, extra in enumerate(reversed(more)):
            pad[2 * axis + 1] += extra
        logits = network(functional.pad(x, pad, mode="reflect"))
        return logits[(..., *(slice(0, n) for n in x.shape[2:]))].softmax(dim=1)

    window = MONAI_WINDOW_PX[geometry.ndim]
    assert all(n % s == 0 for n, s in zip(window, stride, strict=True))
    pixels = np.asarray(seen(Store.open(folder))[:])[None]
    picture = torch.from_numpy(pixels if geometry.ndim == 3 else pixels[:, :, 0])
    with torch.inference_mode():
        start = time.perf_counter()
        picture = picture.to(device.torch)
        sliding_window_inference(picture, window, 1, same_size, mode="gaussian").cpu()
        return time.perf_counter() - start


def compare(case: Case) -> None:
    """One table: bare network, the whole step, and MONAI."""
    network, plan = make_network(case)
    run = quantised(network, case.device)
    times: dict[str, list[float]] = {"bare": [], "ours": [], "MONAI": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "slide.ome.zarr"
        slide = make_slide(folder, case.shape)
        tiling = plan_tiling(plan, case.shape, 1, case.device, MEMORY_GB)
        for number in range(case.rounds):
            before = bare_network(run, plan, tiling, case.shape)
            start = time.perf_counter()
            whole_step(slide, run, plan, tiling, Path(name) / f"{number}.ome.zarr")
            times["ours"].append(time.perf_counter() - start)
            after = bare_network(run, plan, tiling, case.shape)
            times["bare"].append((before + after) / 2)
        times["MONAI"].append(in_own_process(monai_window, folder, case))
    title = "Slide" if case.ndim == 2 else "Volume"
    edges, tile_px = (" x ".join(map(str, n)) for n in (case.shape[-case.ndim :], tiling.tile_px))
    print(f"\n### {title} of {edges} px\n")
    print(
        f"Width {case.width}, depth {case.depth}, {case.device.precision}, {case.device.threads} "
        f"threads; tiles of {tile_px} px, chosen for {MEMORY_GB:g} GB; medians of {case.rounds} "
        "rounds, MONAI once.\n"
    )
    print("| | seconds | Mpx/s | time beside overtile |\n|---|---|---|---|")
    ours = statistics.median(times["ours"])
    names = {
        "bare": "bare network, tiles in memory",
        "ours": "overtile, from store to store",
        "MONAI": f"MONAI, in memory, windows of {MONAI_WINDOW_PX[case.ndim][0]} px",
    }
    for key, text in names.items():
        seconds = statistics.median(times[key])
        rate = np.prod(case.shape) / seconds / 1e6
        print(f"| {text} | {seconds:.1f} | {rate:.2f} | {seconds / ours:.2f} |")
    sys.stdout.flush()


def paper_tile(device: Device) -> None:
    """A 512 x 512 picture through the paper's network of 31 million parameters."""
    network, plan = make_network(Case((1, 512, 512), 2, 64, 4, device))
    source, _ = plan.geometry.sizes_for((512, 512))
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
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    args = parser.parse_args()
    device = choose_device(args.device, args.precision, os.cpu_count() or 1)
    paper_tile(device)
    slide = (1, args.edge_px, args.edge_px)
    compare(Case(slide, 2, args.width, 4, device, args.rounds))
    compare(Case(tuple(args.volume_px), 3, args.width // 2, 2, device, args.rounds))


if __name__ == "__main__":
    main()
