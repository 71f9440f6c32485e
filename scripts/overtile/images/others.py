"""PNG by imagecodecs, or by Pillow where it has a palette; NIfTI by nibabel."""

import math
import struct
from pathlib import Path

import numpy as np

from overtile.errors import InputError
from overtile.images.raw import RawImage, refuse_damage, refuse_empty, refuse_large

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples per pixel for each PNG colour type."""
PNG_PALETTE = 3

MICROMETRES_PER_NIFTI_UNIT = {"meter": 1e6, "mm": 1e3, "micron": 1.0}


def open_png(path: Path) -> RawImage:
    """Open a PNG of 1 to 16 bits, grey, RGB or palette, as stored; transparency is left out.

    PNG has one stream for the whole picture, so that it is decoded whole, up to 1 GiB.
    """
    with refuse_damage(path):
        with open(path, "rb") as file:
            header = file.read(33)
        if header[:8] != PNG_SIGNATURE:
            raise InputError(f"{path}: is not a PNG file; rename it, or export it again")
        width, height, bits, colour = struct.unpack(">IIBB", header[16:26])
        nbytes = width * height * PNG_SAMPLES.get(colour, 4) * max(1, bits // 8)
        refuse_large(path, nbytes, "the picture", "save it as a tiled TIFF")
        pixels = _palette_indices(path) if colour == PNG_PALETTE else _png_pixels(path, bits)
    refuse_empty(path, pixels.shape)
    if pixels.ndim == 2:
        order = (None, None, 0, 1)
        return RawImage(path, pixels, order, None, has_palette=colour == PNG_PALETTE)
    samples = {2: 1, 4: 3}.get(pixels.shape[2], pixels.shape[2])
    return RawImage(path, pixels, (2, None, 0, 1), None, channels_kept=samples)


def _png_pixels(path: Path, bits: int) -> np.ndarray:
    """Grey or colours, (y, x) or (y, x, samples)."""
    import imagecodecs

    pixels = imagecodecs.png_decode(path.read_bytes())
    # The decoder stretches 1, 2 and 4 bits to 0..255, which would change the values of labels.
    return pixels // (255 // (2**bits - 1)) if bits in (1, 2, 4) else pixels


def _palette_indices(path: Path) -> np.ndarray:
    """Indices into the palette, (y, x) uint8; imagecodecs gives the colours only."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # its size has been checked
    with refuse_damage(path, (SyntaxError,)), Image.open(path) as image:
        return np.asarray(image)


def open_nifti(path: Path) -> RawImage:
    """Open a NIfTI volume (x, y, z in the file).

    Compressed ones, and scaled integers, are decoded whole, up to 1 GiB.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    with refuse_damage(path, (ImageFileError, HeaderDataError)):
        image = nibabel.load(path)
        if not isinstance(image, nibabel.Nifti1Image):
            raise InputError(f"{path}: is {type(image).__name__}; allowed: NIfTI-1 or NIfTI-2")
        shape = image.shape
        refuse_empty(path, shape)
        if not sum(n > 1 for n in shape) >= 2 or len(shape) > 3 and max(shape[3:]) > 1:
            raise InputError(
                f"{path}: has shape {shape}; allowed: one volume (x, y, z); split it into files"
            )
        array = image.dataobj
        scaled = (array.slope, array.inter) != (1.0, 0.0)
        nbytes = math.prod(shape) * 8
        if path.suffix == ".gz":
            refuse_large(path, nbytes, "the volume", "unpack it to .nii")
            array = np.asarray(array)
        if scaled and array.dtype.kind in "iu":
            refuse_large(path, nbytes, "the volume of scaled integers", "save it as float32")
            array = np.asarray(array)
        unit = MICROMETRES_PER_NIFTI_UNIT.get(image.header.get_xyzt_units()[0], 1e3)
        zooms = [float(z) * unit for z in image.header.get_zooms()[:3]]
    order = (None, 2 if len(shape) > 2 else None, 1, 0)
    size = (zooms[2] if len(zooms) > 2 else 1.0, zooms[1], zooms[0])
    is_known = all(math.isfinite(edge) and edge > 0 for edge in size)
    return RawImage(path, array, order, size if is_known else None)
