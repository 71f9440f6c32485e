"""Objects for other programs: GeoJSON, TIFF, tables, and a server for viewers."""
