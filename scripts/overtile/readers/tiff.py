"""TIFF, OME-TIFF, BigTIFF, ImageJ stacks and Aperio SVS, by tifffile."""

import logging
import math
from pathlib import Path
from typing import Any

from overtile.errors import InputError
from overtile.readers.raw import Order, RawImage, refuse_damage, refuse_empty, refuse_large

MICROMETRES = {
    "m": 1e6,
    "cm": 1e4,
    "centimeter": 1e4,
    "mm": 1e3,
    "millimeter": 1e3,
    "µm": 1.0,
    "μm": 1.0,
    "\\u00b5m": 1.0,
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "pm": 1e-6,
    "å": 1e-4,
    "inch": 25400.0,
}
PALETTE = 3
"""TIFF's PhotometricInterpretation of pixels that are indices into a colour table."""
RGB = 2
ALPHA = (1, 2)
"""TIFF's ExtraSamples that are transparency, premultiplied or not."""
ROLES = {"C": "c", "S": "c", "Z": "z", "I": "z", "Q": "z", "Y": "y", "X": "x"}


def open_tiff(path: Path) -> RawImage:
    """Open the first picture of a TIFF file; its segments are read only when needed."""
    import tifffile
    import zarr

    # What it warns about is either refused here, in one line, or does no harm.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    with refuse_damage(path):
        tif = tifffile.TiffFile(path)
        if not tif.series:
            raise InputError(f"{path}: contains no image; export it again")
        series = tif.series[0]
        shape, axes = series.shape, series.axes
        refuse_empty(path, shape)
        _refuse_other_files(path, series)
        _refuse_missing_segments(path, tif, series)
        array = zarr.open_array(series.aszarr(level=0), mode="r")
    refuse_large(
        path,
        math.prod(array.chunks) * array.dtype.itemsize,
        "one of its segments",
        "save it as a tiled TIFF",
    )
    order = _order(path, axes, shape)
    has_samples = order[0] is not None and axes[order[0]] == "S"
    raw = RawImage(
        path=path,
        array=array,
        order=order,
        pixel_size_um=_pixel_size_um(tif, series),
        channels=_channel_names(tif),
        has_palette=series.keyframe.photometric == PALETTE,
        channels_kept=_samples_kept(series.keyframe) if has_samples else None,
    )
    if raw.channels and len(raw.channels) != raw.shape[0]:
        raw.channels = None  # one name for all of red, green and blue, or names for some channels
    return raw


def _order(path: Path, axes: str, shape: tuple[int, ...]) -> Order:
    """Which axis of the file is c, z, y and x; axes of length 1 do not matter."""
    places: dict[str, int] = {}
    for axis, (letter, length) in enumerate(zip(axes, shape, strict=True)):
        role = ROLES.get(letter)
        if length == 1 and role not in ("y", "x"):
            continue
        if role is None:
            raise InputError(
                f"{path}: has axis {letter} of length {length} (axes {axes}); "
                "allowed: C or S, Z, Y, X; split it into one file per position or time"
            )
        if role in places:
            raise InputError(
                f"{path}: has two axes for {role} (axes {axes}); split it into several files"
            )
        places[role] = axis
    c, z, y, x = (places.get(role) for role in "czyx")
    return c, z, y, x


def _refuse_other_files(path: Path, series) -> None:
    """A change in other files would not be noticed, and planes that are nowhere read as black."""
    if series.is_multifile:
        raise InputError(f"{path}: its pixels are in several files; save it as one file")
    if series.dataoffset is None and any(page is None for page in series.pages):
        raise InputError(f"{path}: some of its planes are missing; save it as one complete file")


def _refuse_missing_segments(path: Path, tif, series) -> None:
    """A TIFF whose pixel data end too early opens well and reads as black: refuse it here."""
    size = tif.filehandle.size
    if series.dataoffset is not None:
        ends = [series.dataoffset + series.nbytes]
    else:
        pages = list(series.pages)
        if any(0 in page.databytecounts and not page.is_tiled for page in pages):
            raise InputError(f"{path}: has strips without data; check the file, or export it again")
        wanted = math.prod(series.keyframe.chunked)
        fewest = min((len(page.dataoffsets) for page in pages), default=wanted)
        if fewest < wanted:
            raise InputError(
                f"{path}: a page has {fewest} of its {wanted} strips or tiles; "
                "check the file, or export it again"
            )
        ends = [
            offset + count
            for page in pages
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)
        ]
    if max(ends, default=0) > size:
        raise InputError(
            f"{path}: is cut short: its pixels end at byte {max(ends)}, the file at byte {size}; "
            "copy it again"
        )


def _samples_kept(page) -> int:
    """How many samples are no transparency; a fourth sample of RGB is one, named or not."""
    samples = page.samplesperpixel
    named = sum(kind in ALPHA for kind in page.extrasamples)
    return min(samples, 3) if page.photometric == RGB else samples - named


def _zyx(z: float | None, y: float, x: float) -> tuple[float, float, float]:
    """Pixel edges, in micrometres."""
    # ASSUME: voxels are as deep as they are high where the file does not say.
    return (y if z is None else z, y, x)


def _pixel_size_um(tif, series) -> tuple[float, float, float] | None:
    if tif.is_ome:
        return _ome_pixel_size_um(tif)
    if tif.is_svs:
        mpp = _number(_svs_properties(tif).get("MPP"))
        return _zyx(None, mpp, mpp) if mpp else None
    if tif.is_imagej:
        return _imagej_pixel_size_um(tif)
    # ASSUME: resolutions in inches are printing sizes (72, 96, 300 dpi), not pixel sizes.
    tags = series.keyframe.tags
    if tags.valueof("ResolutionUnit") == 3:
        return _from_resolution(tags, MICROMETRES["cm"], None)
    return None


def _svs_properties(tif) -> dict:
    """The key-value pairs in an Aperio description, e.g. MPP, micrometres per pixel."""
    parts = tif.pages[0].description.split("|")[1:]
    pairs = (part.partition("=") for part in parts)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _imagej_pixel_size_um(tif) -> tuple[float, float, float] | None:
    metadata = tif.imagej_metadata or {}
    factor = MICROMETRES.get(str(metadata.get("unit", "")).strip().lower())
    if factor is None:
        return None
    return _from_resolution(tif.pages[0].tags, factor, _number(metadata.get("spacing")))


def _from_resolution(tags, um_per_unit: float, z_spacing: float | None):
    edges = []
    for name in ("YResolution", "XResolution"):
        numerator, denominator = tags.valueof(name) or (0, 0)
        if not numerator or not denominator:
            return None
        edges.append(um_per_unit * denominator / numerator)
    return _zyx(z_spacing and z_spacing * um_per_unit, *edges)


def _ome_image(tif) -> dict:
    from tifffile import xml2dict

    image = xml2dict(tif.ome_metadata).get("OME", {}).get("Image", {})
    image = image[0] if isinstance(image, list) else image
    return image.get("Pixels", {})


def _ome_pixel_size_um(tif) -> tuple[float, float, float] | None:
    pixels = _ome_image(tif)
    edges = []
    for axis in "ZYX":
        size = _number(pixels.get(f"PhysicalSize{axis}"))
        unit = str(pixels.get(f"PhysicalSize{axis}Unit", "µm")).lower()
        edges.append(size * MICROMETRES[unit] if size and unit in MICROMETRES else None)
    z, y, x = edges
    return None if y is None or x is None else _zyx(z, y, x)


def _channel_names(tif) -> list[str] | None:
    if not tif.is_ome:
        return None
    channels = _ome_image(tif).get("Channel", [])
    channels = channels if isinstance(channels, list) else [channels]
    names = [str(channel["Name"]) for channel in channels if "Name" in channel]
    return names or None


def _number(text: Any) -> float | None:
    """A positive, finite number, or None."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) and value > 0 else None
