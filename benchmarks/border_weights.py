"""How fast border weights are made: beside the naive definition, and beside one `edt` pass.

    python benchmarks/border_weights.py

Prints Markdown tables. Everything in a row is timed in the same run, in turn, and quoted as the
median; ratios are what to compare between machines. Compiling is not timed: its result is kept on
disk, and is named once at the top. Takes about five minutes on two cores.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from pathlib import Path

import edt
import numpy as np
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from overtile.geometry.borders import border_reach, border_weights, halo_px, separate  # noqa: E402
from overtile.geometry.spans import plan_blocks  # noqa: E402
from overtile.stores import layout  # noqa: E402
from overtile.stores.subblocks import compute_by_subblock  # noqa: E402

W0, SIGMA_PX = 10.0, 5.0
REACH_PX = border_reach(SIGMA_PX)


def cells(shape: tuple[int, ...], count: int, seed: int = 0) -> np.ndarray:
    """About `count` round cells on a jittered grid, over a quarter to a half of the picture."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, dtype=np.uint32)
    pitch = (np.prod(shape) / count) ** (1 / len(shape))
    grid = np.stack(np.meshgrid(*(np.arange(pitch / 2, n, pitch) for n in shape), indexing="ij"))
    for number, middle in enumerate(grid.reshape(len(shape), -1).T, start=1):
        centre = middle + rng.uniform(-0.1, 0.1, len(shape)) * pitch
        radius = rng.uniform(0.25, 0.45) * pitch
        low = np.maximum(0, np.floor(centre - radius)).astype(int)
        high = np.minimum(shape, np.ceil(centre + radius) + 1).astype(int)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        away = np.ogrid[box]
        inside = sum((a - c) ** 2 for a, c in zip(away, centre, strict=True)) <= radius**2
        labels[box][inside] = number
    return labels


def as_the_step_does(labels: np.ndarray, spacing=(1.0, 1.0), threads: int = 1) -> np.ndarray:
    """Border terms of a whole slide as `weigh.py` computes them: by shards, with halos."""
    stack = labels if labels.ndim == 3 else labels[None]
    halo = (0,) * (3 - len(spacing)) + halo_px(REACH_PX, spacing)
    result = np.empty(stack.shape, np.float32)

    def work(block):
        result[block.slices] = compute_by_subblock(
            *(stack, block, halo, len(spacing)),
            *(lambda part: border_weights(part, W0, SIGMA_PX, spacing), np.float32),
        )

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, plan_blocks(stack.shape, layout.chunk_and_shard(stack.shape)[1])))
    return result.reshape(labels.shape)


def naive(labels: np.ndarray) -> np.ndarray:
    """The definition, word for word: one distance transform per cell over the whole picture."""
    nearest = np.full(labels.shape, np.inf)
    second = np.full(labels.shape, np.inf)
    for cell in np.unique(labels[labels > 0]):
        distance = ndimage.distance_transform_edt(labels != cell)
        np.minimum(second, np.maximum(nearest, distance), out=second)
        np.minimum(nearest, distance, out=nearest)
    return W0 * np.exp(-((nearest + second) ** 2) / (2 * SIGMA_PX**2))


def windows(labels: np.ndarray, transform: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """One distance transform per cell, over its bounding box widened by the reach."""
    nearest = np.full(labels.shape, np.inf, np.float32)
    second = np.full(labels.shape, np.inf, np.float32)
    margin = ceil(REACH_PX)
    for cell, box in enumerate(ndimage.find_objects(labels), start=1):
        window = tuple(slice(max(0, b.start - margin), b.stop + margin) for b in box)
        distance = transform(labels[window] != cell)
        near, next_ = nearest[window], second[window]
        np.minimum(next_, np.maximum(near, distance), out=next_)
        np.minimum(near, distance, out=near)
    return W0 * np.exp(-((nearest + second) ** 2) / (2 * SIGMA_PX**2))


def timed(*functions: Callable[[], object], repeats: int = 5) -> list[float]:
    """Median seconds of each function, all called in turn."""
    seconds = [[] for _ in functions]
    for _ in range(repeats):
        for function, found in zip(functions, seconds, strict=True):
            start = time.perf_counter()
            function()
            found.append(time.perf_counter() - start)
    return [statistics.median(found) for found in seconds]


def table(title: str, columns: list[str], rows: list[list[object]]) -> None:
    """Print a Markdown table."""
    print(f"\n### {title}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(str(v) if not isinstance(v, float) else f'{v:.3g}' for v in row)} |")
    sys.stdout.flush()


def against_the_definition() -> None:
    """1,000 cells on 1024 x 1024 px, beside one distance transform per cell."""
    labels = cells((1024, 1024), 1000)
    (slow,) = timed(lambda: naive(labels), repeats=1)
    (fast,) = timed(lambda: border_weights(labels, W0, SIGMA_PX, (1, 1)))
    difference = np.abs(border_weights(labels, W0, SIGMA_PX, (1, 1)) - naive(labels)).max() / W0
    table(
        f"Beside the naive definition: 1024 x 1024 px, {labels.max()} cells, one thread",
        ["one transform per cell, s", "overtile, s", "times faster", "largest difference / w0"],
        [[slow, fast, slow / fast, float(difference)]],
    )


def against_one_pass() -> None:
    """10,000 cells on 4096 x 4096 px, beside one pass of `edt` and other ways."""
    labels = cells((4096, 4096), 10_000)
    rows = []
    for threads in (1, os.cpu_count() or 1):
        of_labels, of_background, ours, apart = timed(
            lambda: edt.edt(labels, parallel=threads),  # noqa: B023
            lambda: edt.edt(labels == 0, parallel=threads),  # noqa: B023
            lambda: as_the_step_does(labels, threads=threads),  # noqa: B023
            lambda: separate(labels, 1),
        )
        ratio = ours / min(of_labels, of_background)
        rows.append([threads, of_labels, of_background, ours, ratio, apart])
    table(
        f"Beside one `edt` pass: 4096 x 4096 px, {labels.max()} cells",
        [
            "threads",
            "`edt` of labels, s",
            "`edt` of background, s",
            "overtile, s",
            "ratio to the faster",
        ]
        + ["`separate`, one thread, s"],
        rows,
    )
    scipy, fast = timed(
        lambda: windows(labels, ndimage.distance_transform_edt),
        lambda: windows(labels, edt.edt),
        repeats=3,
    )
    table(
        "One transform per cell in a window, the same picture, one thread",
        ["scipy, s", "`edt`, s"],
        [[scipy, fast]],
    )


def against_size() -> None:
    """Nanoseconds per pixel of pictures of one density."""
    rows = []
    for edge in (512, 1024, 2048, 4096, 8192):
        labels = cells((edge, edge), edge**2 // 1678)
        one, ours = timed(
            lambda: edt.edt(labels, parallel=1),  # noqa: B023
            lambda: as_the_step_does(labels),  # noqa: B023
            repeats=3,
        )
        rows.append([edge, int(labels.max()), ours, ours / edge**2 * 1e9, ours / one])
    table("Pixels", ["edge, px", "cells", "overtile, s", "ns per px", "ratio to `edt`"], rows)


def against_cells() -> None:
    """2048 x 2048 px with ever more cells, all cells touching, and noise."""
    edge = 2048
    pictures = {f"{n:,} cells": cells((edge, edge), n) for n in (10, 100, 1000, 10_000, 100_000)}
    y, x = np.mgrid[:edge, :edge]
    pictures["squares of 20 px, all touching"] = (y // 20 * 200 + x // 20 + 1).astype(np.uint32)
    noise = np.random.default_rng(0).integers(0, 1000, (edge, edge))
    pictures["noise of 1,000 ids"] = noise.astype(np.uint32)
    rows = []
    for name, labels in pictures.items():
        one, ours = timed(
            lambda: edt.edt(labels, parallel=1),  # noqa: B023
            lambda: as_the_step_does(labels),  # noqa: B023
            repeats=3,
        )
        rows.append([name, ours, ours / edge**2 * 1e9, ours / one])
    table("Cells", ["picture", "overtile, s", "ns per px", "ratio to `edt`"], rows)


def in_volumes() -> None:
    """A volume with planes 2.5 times as far apart as pixels."""
    labels, spacing = cells((64, 512, 512), 2000), (2.5, 1.0, 1.0)
    one, whole, ours = timed(
        lambda: edt.edt(labels, anisotropy=spacing, parallel=1),
        lambda: border_weights(labels, W0, SIGMA_PX, spacing),
        lambda: as_the_step_does(labels, spacing),
        repeats=3,
    )
    table(
        f"A volume of 64 x 512 x 512 px, {labels.max()} cells, spacing {spacing}, one thread",
        ["`edt`, s", "overtile at once, s", "ratio", "by shards with halos, s", "ratio"],
        [[one, whole, whole / one, ours, ours / one]],
    )


def main() -> None:
    """Compile, then print all tables."""
    start = time.perf_counter()
    border_weights(cells((64, 64), 4), W0, SIGMA_PX, (1, 1))
    border_weights(cells((16, 16, 16), 4), W0, SIGMA_PX, (1, 1, 1))
    print(f"First call, compiled or loaded from the cache: {time.perf_counter() - start:.2f} s.")
    print(f"w0 {W0}, sigma {SIGMA_PX} px, reach {REACH_PX:.1f} px.")
    against_the_definition()
    against_one_pass()
    against_size()
    against_cells()
    in_volumes()


if __name__ == "__main__":
    main()
