"""What memory prediction takes, seen from outside, for slides of several sizes.

    python benchmarks/prediction_memory.py [--edges-px 8000 60000] [--width 8] [--memory-gb 2]

Each slide is predicted by scripts/predict.py, in a process of its own, whole and without a mask, by
a network with random weights. Prints a Markdown table.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from network_plan import plan_unet
from own_process import SCRIPTS, in_own_process, measure_step

sys.path.insert(0, str(SCRIPTS))

from overtile.networks.weights import save_weights  # noqa: E402
from overtile.stores.digest import digest_file  # noqa: E402
from overtile.stores.ngff import multiscale_attributes  # noqa: E402
from overtile.stores.writer import StoreWriter  # noqa: E402
from overtile.stores.yaml_files import write_yaml  # noqa: E402


def make_slide(folder: Path, edge_px: int) -> None:
    """A slide of noise, uint8: one random square again and again."""
    writer = StoreWriter(folder, "benchmark", "picture")
    writer.add_array("0", (1, 1, edge_px, edge_px), np.uint8, "czyx")
    square = np.random.default_rng(0).integers(0, 255, writer.array("0").shards, np.uint8)

    def draw(block):
        return square[(slice(None), *(slice(0, n) for n in block.shape))], {}

    writer.fill("0", draw, label=f"slide of {edge_px} px")
    ome = multiscale_attributes(folder.name, "czyx", [(1, 1, 1)], None, is_label=False)
    writer.commit(ome, mean=[127.0], std=[74.0], pixel_size_um=None)


def make_model(folder: Path, width: int) -> None:
    """A package of one network with random weights."""
    torch.manual_seed(0)
    plan = plan_unet(2, 2, width)
    folder.mkdir()
    weights = folder / "fold0.safetensors"
    save_weights(weights, plan.network.build(plan.architecture))
    members = [{"file": weights.name, "sha256": digest_file(weights)}]
    write_yaml(folder / "plan.yaml", {**plan.written(), "members": members})


def measure(slide: Path, model: Path, target: Path, memory_gb: float) -> tuple[float, float]:
    """Seconds and peak resident bytes of one prediction."""
    flags = ["--image", slide, "--model", model, "--probabilities", target]
    return measure_step("predict.py", *flags, "--memory-gb", memory_gb)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edges-px", type=int, nargs="+", default=[512, 8000, 60000])
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--memory-gb", type=float, default=2.0)
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        in_own_process(make_model, folder / "model", args.width)
        for edge in args.edges_px:
            slide, target = folder / f"{edge}.ome.zarr", folder / f"p{edge}.ome.zarr"
            in_own_process(make_slide, slide, edge)
            seconds, peak = measure(slide, folder / "model", target, args.memory_gb)
            files = sum(1 for path in target.rglob("*") if path.is_file())
            rows.append(f"| {edge} x {edge} | {peak / 1e6:.0f} | {seconds:.0f} | {files} |")
    print(f"\nWidth {args.width}, depth 2, --memory-gb {args.memory_gb:g}.\n")
    print("| slide, px | peak, MB | seconds | files |\n|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
