"""Tiles, mirrors, distances and components: NumPy and SciPy only, no files."""
