"""PNG by imagecodecs, or by Pillow where it has a palette."""

import struct
from pathlib import Path

import numpy as np

from overtile.errors import InputError
from overtile.readers.raw import RawImage, refuse_damage, refuse_empty, refuse_large

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples per pixel for each PNG colour type."""
PNG_PALETTE = 3


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
