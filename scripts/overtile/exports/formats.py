"""Formats in which the objects of a slide are written for other programs."""

from overtile.registry import Registry

FORMATS = Registry(
    {
        "geojson": "overtile.exports.geojson:write_geojson",
        "tiff": "overtile.exports.tiff:write_tiff",
    }
)
"""By the flag of export.py: functions of a label store, a path, and what to write."""
