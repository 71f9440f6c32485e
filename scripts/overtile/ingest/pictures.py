"""From raw pixels to a picture store, with the statistics that normalisation needs."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from overtile.errors import InputError
from overtile.geometry.spans import Block
from overtile.stores.ngff import multiscale_attributes
from overtile.stores.pyramid import add_pyramid
from overtile.stores.writer import StoreWriter

AXES = ("c", "z", "y", "x")
VALUES_AT_ONCE = 2**16
PICTURE_DTYPES = (
    *("uint8", "int8", "uint16", "int16", "uint32", "int32"),
    *("float16", "float32", "float64"),
)


def stored_dtype(path: Path, dtype: np.dtype) -> np.dtype:
    """The dtype of a picture in its store: as it is, other floats as float32."""
    if dtype.name not in PICTURE_DTYPES:
        raise InputError(
            f"{path}: has pixels of type {dtype}; allowed: {', '.join(PICTURE_DTYPES)}; convert it"
        )
    return np.dtype(np.float32) if dtype.kind == "f" else dtype


def block_statistics(pixels: np.ndarray) -> dict:
    """Count, mean and sum of squared deviations per channel of a (c, z, y, x) block, for JSON."""
    count = pixels[0].size
    means, deviations = [], []
    for channel in pixels:
        # Means are taken from the first value on, so that a constant picture deviates by exactly 0.
        first = float(channel[0, 0, 0])
        mean = first + sum(float((part - first).sum()) for part in _parts(channel)) / count
        means.append(mean)
        deviations.append(sum(float(np.square(part - mean).sum()) for part in _parts(channel)))
    return {"count": count, "mean": means, "squared_deviations": deviations}


def _parts(channel: np.ndarray) -> Iterator[np.ndarray]:
    """A channel (z, y, x) as float64, some rows at a time: whole it would take 8 times a uint8."""
    rows = max(1, VALUES_AT_ONCE // channel.shape[2])
    for plane in channel:
        for start in range(0, len(plane), rows):
            yield plane[start : start + rows].astype(np.float64, order="C")


def mean_and_std(records: Sequence[dict]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel, from those of the blocks.

    Deviations are summed, not squares: sums of squares lose the deviation of bright, flat pictures.
    Source: Chan, Golub and LeVeque 1983, doi:10.1080/00031305.1983.10483115.
    """
    counts = np.array([[r["count"]] for r in records], dtype=np.float64)
    means = np.array([r["mean"] for r in records])
    mean = means[0] + (counts * (means - means[0])).sum(axis=0) / counts.sum()
    within = np.sum([r["squared_deviations"] for r in records], axis=0)
    between = (counts * np.square(means - mean)).sum(axis=0)
    return mean.tolist(), np.sqrt((within + between) / counts.sum()).tolist()


def write_picture(
    raw,
    store: Path,
    key: str,
    pixel_size_um: Sequence[float] | None,
    channels: Sequence[str] | None,
) -> None:
    """Stream a raw picture into a store with pyramid and statistics.

    Raises InputError for pixels that are not numbers or of a dtype that is not allowed.
    """
    if raw.has_palette:
        raise InputError(f"{raw.path}: colours come from a palette; save it as grey or RGB")
    dtype = stored_dtype(raw.path, raw.dtype)
    channel_count = raw.shape[0]
    if channels is not None and len(channels) != channel_count:
        raise InputError(
            f"{raw.path}: has {channel_count} channels, but {len(channels)} names are given "
            f"({', '.join(channels)}); give one name per channel"
        )
    writer = StoreWriter(store, key, "picture")
    writer.add_array("0", raw.shape, dtype, AXES)

    def copy(block: Block) -> tuple[np.ndarray, dict]:
        pixels = raw.read(block.slices).astype(dtype)
        if dtype.kind == "f" and not np.isfinite(pixels).all():
            raise InputError(
                f"{raw.path}: has NaN or infinite pixels near (z, y, x) = {block.start}; "
                "replace them by numbers in the file"
            )
        return pixels, block_statistics(pixels)

    writer.fill("0", copy, label=f"ingest {raw.path.name}")
    factors = add_pyramid(writer, AXES, pixel_size_um, is_label=False)
    mean, std = mean_and_std(writer.records("0"))
    writer.commit(
        multiscale_attributes(writer.path.name, AXES, factors, pixel_size_um, is_label=False),
        pixel_size_um=list(pixel_size_um) if pixel_size_um else None,
        channels=list(channels) if channels else None,
        mean=mean,
        std=std,
    )
