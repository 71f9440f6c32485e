"""Versions of what computes."""

import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

PACKAGES = (*("torch", "numpy", "scipy", "zarr", "dask", "scikit-image", "tifffile", "snakemake"),)


def versions() -> dict[str, str]:
    """Versions of Python and of those libraries that results depend on and that are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
