"""overtile: overlap-tile segmentation of whole image archives, the library behind the scripts."""
