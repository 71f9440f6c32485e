"""From raw pixels to a picture store, with the statistics that normalisation needs."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from overtile.errors import InputError
from overtile.geometry.spans import Block
from overtile.readers.raw import RawImage
from overtile.stores.ngff import multiscale_attributes
from overtile.stores.pyramid import add_pyramid
from overtile.stores.writer import StoreWriter

AXES = ("c", "z", "y", "x")
VALUES_AT_ONCE = 2**16
PICTURE_DTYPES = (
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "float16",
    "float32",
    "float64",
)


def picture_pixel_size_um(
    raw: RawImage, wanted: Sequence[float] | None
) -> tuple[float, ...] | None:
    """The pixel edges (z, y, x) of a picture in micrometres: as wanted, else as its file says.

    wanted: y, x or z, y, x. Raises InputError for any other number of edges.
    """
    if not wanted:
        return raw.pixel_size_um
    if len(wanted) not in (2, 3):
        raise InputError(f"--pixel-size-um: has {len(wanted)} values; allowed: Y X or Z Y X")
    # ASSUME: planes are as far apart as pixels where neither the file nor the user says.
    z_um = raw.pixel_size_um[0] if raw.pixel_size_um else wanted[0]
    return (z_um, *wanted)[-3:]


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


def _refuse_other_channels(raw: RawImage, names: Sequence[str] | None) -> None:
    """Raise InputError for channels that are not intensities, or not as many as their names."""
    if raw.has_palette:
        raise InputError(f"{raw.path}: the image has a colour palette; save it as grey or RGB")
    if names is not None and len(names) != raw.shape[0]:
        raise InputError(
            f"{raw.path}: has {raw.shape[0]} channels, but {len(names)} names are given "
            f"({', '.join(names)}); give one name per channel"
        )


def write_picture(
    raw: RawImage,
    store: Path,
    key: str,
    pixel_size_um: Sequence[float] | None,
    channels: Sequence[str] | None,
) -> None:
    """Stream a raw picture into a store with pyramid and statistics.

    Raises InputError for pixels that are not numbers or of a dtype that is not allowed.
    """
    _refuse_other_channels(raw, channels)
    dtype = stored_dtype(raw.path, raw.dtype)
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
