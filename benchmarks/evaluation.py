"""What memory and time scores take, by the number of objects.

    python benchmarks/evaluation.py [--objects 100_000 1_000_000 10_000_000] [--stores 1_000_000]

Cells are squares that touch, in a grid, and the segmentation is the reference moved by a pixel down
and to the right: each cell overlaps its own segment and three more, which is as many pairs as there
are in practice. Blocks are drawn as they are counted, in a process of its own; with --stores also
by evaluate.py, from stores that hold so many objects. Prints a Markdown table.
"""

import argparse
import math
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from own_process import SCRIPTS, in_own_process, measure_step

sys.path.insert(0, str(SCRIPTS))

from overtile.geometry.spans import Block, plan_blocks  # noqa: E402
from overtile.metrics.compare import LARGEST_BLOCK  # noqa: E402
from overtile.metrics.counts import Agreement  # noqa: E402
from overtile.metrics.metric import Comparison  # noqa: E402
from overtile.metrics.score_files import measure_all  # noqa: E402
from overtile.stores.labels import write_classes, write_objects  # noqa: E402

CELL_PX = 10
SHIFT_PX = 1
NAMES = ["background", "cell"]


def shape_of(objects: int) -> tuple[int, int, int]:
    """The slide, (z, y, x) px, that holds so many cells, or a few more."""
    edge_px = CELL_PX * math.ceil(math.sqrt(objects))
    return 1, edge_px, edge_px


def draw(block: Block, shape: tuple[int, int, int], shift_px: int) -> np.ndarray:
    """Ids of a block, (z, y, x) uint32; a strip of background where cells were moved from."""
    y, x = (np.arange(s.start, s.stop) - shift_px for s in block.slices[1:])
    ids = (y[:, None] // CELL_PX) * (shape[2] // CELL_PX) + x // CELL_PX + 1
    ids[(y[:, None] < 0) | (x < 0)] = 0
    return ids[None].astype(np.uint32)


def count_blocks(objects: int) -> tuple[float, float, float, int, dict]:
    """Seconds to count and to score, peak resident bytes, pairs of objects, and the scores."""
    shape, agreement = shape_of(objects), Agreement(len(NAMES))
    counting = 0.0
    for block in plan_blocks(shape, LARGEST_BLOCK["picture"]):
        ids = [draw(block, shape, shift_px) for shift_px in (0, SHIFT_PX)]
        start = time.perf_counter()
        agreement.add(ids[0], (ids[0] > 0).view(np.uint8), ids[1], (ids[1] > 0).view(np.uint8))
        counting += time.perf_counter() - start
    start = time.perf_counter()
    scores = measure_all(Comparison(agreement, NAMES, 0.5))
    scoring = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return counting, scoring, peak, len(agreement.pairs), scores["objects"]


def make_labels(folder: Path, objects: int, shift_px: int) -> None:
    """A label store of so many cells."""
    shape = shape_of(objects)

    def read_ids(block: Block) -> np.ndarray:
        return draw(block, shape, shift_px)

    def read_classes(block: Block) -> np.ndarray:
        return (read_ids(block) > 0).view(np.uint8)

    classes = write_classes(folder, "benchmark", shape, read_classes, NAMES, None)
    write_objects(folder, "benchmark", shape, np.uint32, read_ids, classes, "instances")


def measure_stores(objects: int) -> tuple[float, float]:
    """Seconds and peak resident bytes of evaluate.py on two label stores."""
    with tempfile.TemporaryDirectory() as folder:
        stores = Path(folder) / "a.ome.zarr", Path(folder) / "b.ome.zarr"
        for store, shift_px in zip(stores, (0, SHIFT_PX), strict=True):
            in_own_process(make_labels, store, objects, shift_px)
        flags = ("--reference", stores[0], "--segmentation", stores[1])
        return measure_step("evaluate.py", *flags, "--scores", Path(folder) / "s.json")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, nargs="*", default=[10**5, 10**6, 10**7])
    parser.add_argument("--stores", type=int, nargs="*", default=[10**6])
    args = parser.parse_args()
    rows = []
    for objects in args.objects:
        counting, scoring, peak, pairs, found = in_own_process(count_blocks, objects)
        side = shape_of(objects)[1]
        rows.append(
            f"| {found['reference']:,} | {side:,} | {pairs:,} | {found['f1']:.3f} | "
            f"{peak / 1e6:.0f} | {counting:.0f} | {scoring:.1f} |"
        )
    print("\n| objects | edge, px | pairs | F1 | peak, MB | counting, s | scoring, s |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(rows))
    for objects in args.stores:
        seconds, peak = measure_stores(objects)
        print(f"\nevaluate.py, {objects:,} objects: {seconds:.0f} s, {peak / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
