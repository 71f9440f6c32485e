"""Versions of what computes."""

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = (*("torch", "numpy", "scipy", "zarr", "dask", "scikit-image", "tifffile", "snakemake"),)


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that results depend on, as installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
