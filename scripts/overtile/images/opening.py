"""Find the reader for a raw file."""

from pathlib import Path

from overtile.errors import InputError
from overtile.images.others import open_nifti, open_png
from overtile.images.raw import RawImage
from overtile.images.tiff import open_tiff

READERS = {
    ".tif": open_tiff,
    ".tiff": open_tiff,
    ".btf": open_tiff,
    ".svs": open_tiff,
    ".png": open_png,
    ".nii": open_nifti,
    ".nii.gz": open_nifti,
}


def open_raw(path: str | Path) -> RawImage:
    """Open a raw picture or volume, by its file name's ending; nothing large is read yet."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path in the sheet or command")
    name = path.name.lower()
    for ending, reader in READERS.items():
        if name.endswith(ending):
            return reader(path)
    raise InputError(f"{path}: unknown kind of file; allowed: {', '.join(READERS)}; convert it")
