"""OME-Zarr stores that are committed last, resumed block by block, and compared by content."""
