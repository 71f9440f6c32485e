"""Find the reader for a raw file."""

from pathlib import Path

from overtile.errors import InputError
from overtile.readers.raw import RawImage
from overtile.registry import Registry

READERS = Registry(
    {
        ".tif": "overtile.readers.tiff:open_tiff",
        ".tiff": "overtile.readers.tiff:open_tiff",
        ".btf": "overtile.readers.tiff:open_tiff",
        ".svs": "overtile.readers.tiff:open_tiff",
        ".png": "overtile.readers.png:open_png",
        ".nii": "overtile.readers.nifti:open_nifti",
        ".nii.gz": "overtile.readers.nifti:open_nifti",
    }
)


def reader_of(path: str | Path) -> str | None:
    """The ending of a raw file by which its reader is chosen; None for an unknown kind of file."""
    name = Path(path).name.lower()
    return next((ending for ending in READERS if name.endswith(ending)), None)


def open_raw(path: str | Path) -> RawImage:
    """Open a raw picture or volume, by its file name's ending; nothing large is read yet."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path in the sheet or command")
    ending = reader_of(path)
    if ending is None:
        raise InputError(f"{path}: unknown kind of file; allowed: {', '.join(READERS)}; convert it")
    return READERS.load(ending)(path)
