"""From raw files to stores: pictures, reference labels, and the catalogue of slides."""
