"""Raw pictures and volumes of many formats, read block by block."""
