"""NIfTI volumes, by nibabel."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from overtile.errors import InputError
from overtile.readers.raw import RawImage, refuse_damage, refuse_empty, refuse_large

MICROMETRES_PER_NIFTI_UNIT = {"meter": 1e6, "mm": 1e3, "micron": 1.0}


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
            raise InputError(
                f"{path}: is {type(image).__name__}; allowed: NIfTI-1 or NIfTI-2; save it as such"
            )
        shape = image.shape
        refuse_empty(path, shape)
        if not sum(n > 1 for n in shape) >= 2 or len(shape) > 3 and max(shape[3:]) > 1:
            raise InputError(
                f"{path}: has shape {shape}; allowed: one volume (x, y, z); split it into files"
            )
        array: Any = image.dataobj
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
