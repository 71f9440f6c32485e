"""What memory numbering and measuring objects takes, seen from outside, by their number.

    python benchmarks/objects.py [--objects 100_000 1_000_000 10_000_000]

Each slide is full of squares of 3 x 3 px, six pixels apart: more objects than any real slide of its
size. segment.py runs in a process of its own, twice: connected components, and seeded flooding with
holes filled. Prints a Markdown table.
"""

import argparse
import math
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet
from own_process import SCRIPTS, in_own_process, measure_step

sys.path.insert(0, str(SCRIPTS))

from overtile.networks.channels import STEPS  # noqa: E402
from overtile.prediction.memory import SHARD_SCALE  # noqa: E402
from overtile.stores.ngff import multiscale_attributes  # noqa: E402
from overtile.stores.writer import StoreWriter  # noqa: E402

PERIOD_PX = 6
SETTINGS = {
    "components": [],
    "flooding, holes": ["--seed-threshold", "0.8", "--grow-px", "4", "--max-hole-px", "10"],
}


def make_probabilities(folder: Path, objects: int) -> None:
    """Probabilities of a slide with so many objects, or a few more."""
    edge_px = PERIOD_PX * math.ceil(math.sqrt(objects))
    writer = StoreWriter(folder, "benchmark", "probabilities")
    writer.add_array("0", (2, 1, edge_px, edge_px), np.uint8, "czyx", SHARD_SCALE)

    def draw(block):
        y, x = (np.arange(s.start, s.stop) % PERIOD_PX < 3 for s in block.slices[1:])
        cell = np.where(y[:, None] & x, STEPS, 0).astype(np.uint8)[None]
        return np.stack([STEPS - cell, cell]), {}

    writer.fill("0", draw, label=f"{objects} objects")
    ome = multiscale_attributes(folder.name, "czyx", [(1, 1, 1)], None, is_label=False)
    names = ["background", "cell"]
    writer.commit(ome, class_names=names, scale=1 / STEPS, pixel_size_um=None)


def measure(probabilities: Path, folder: Path, flags: list[str]) -> tuple[float, float, int]:
    """Seconds, peak resident bytes and rows of the table of one segmentation."""
    table = folder / "objects.parquet"
    where = ["--probabilities", probabilities, "--segmentation", folder / "s.zarr"]
    seconds, peak = measure_step("segment.py", *where, "--objects", table, *flags)
    return seconds, peak, pyarrow.parquet.read_metadata(table).num_rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, nargs="+", default=[10**5, 10**6, 10**7])
    args = parser.parse_args()
    rows = []
    for objects in args.objects:
        for name, flags in SETTINGS.items():
            with tempfile.TemporaryDirectory() as folder:
                probabilities = Path(folder) / "p.ome.zarr"
                in_own_process(make_probabilities, probabilities, objects)
                seconds, peak, count = measure(probabilities, Path(folder), flags)
            rows.append(f"| {count:,} | {name} | {peak / 1e6:.0f} | {seconds:.0f} |")
    print("\n| objects | how | peak, MB | seconds |\n|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
