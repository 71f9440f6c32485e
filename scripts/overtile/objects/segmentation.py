"""From probabilities to a class map and objects."""

from math import ceil, prod
from pathlib import Path

from overtile.errors import InputError
from overtile.objects.class_map import ClassMap
from overtile.settings.segmentation import Segmenting
from overtile.stores.labels import Components, Numbered, write_numbered
from overtile.stores.scratch import remove_scratch
from overtile.stores.store import Store

ABOUT_PREDICTION = ("seams", "tiles", "tiles_computed", "predicted_um")
"""What a probability store says of how it was made that its segmentation says on."""


def write_segmentation(probabilities: Store, folder: Path, key: str, settings: Segmenting) -> None:
    """Write class map and objects, numbered by the raster order of their first pixels.

    The same pixels for every size of chunks and shards. Memory grows with the number of objects,
    not with the slide. Raises InputError for what `Segmenting` and `ClassMap` refuse.
    """
    settings.check()
    least_px = least_object_px(probabilities, settings)
    class_map = ClassMap(probabilities, settings.threshold, settings.seed_threshold is not None)
    objects: Numbered
    if settings.is_plain:
        objects = Components(class_map.classes, class_map.shape, least_px)
    else:
        from overtile.objects.pipeline import PostprocessedObjects  # numba, slow to import

        objects = PostprocessedObjects(class_map, settings, folder, key, least_px)
    known = probabilities.attributes
    about = {name: known[name] for name in ABOUT_PREDICTION if name in known}
    names, size = known["class_names"], known["pixel_size_um"]
    write_numbered(folder, key, objects, names, size, "segmentation", prediction=about)
    remove_scratch(folder)


def least_object_px(store: Store, settings: Segmenting) -> int:
    """Pixels that an object of a store must have, by both of its least sizes.

    Raises InputError if a pixel size is needed and the store has none.
    """
    if settings.min_object_um is None:
        return settings.min_object_px
    size = store.attributes["pixel_size_um"]
    if size is None:
        raise InputError(
            f"{store.path}: has no pixel size, but the smallest object is set in micrometres; "
            "give the slide a pixel_size_um in the sheet, or use --min-object-px"
        )
    pixel = prod(size[-2:] if store.shape[0] == 1 else size)
    # A size that is just reached must not be missed by rounding.
    return max(settings.min_object_px, ceil(settings.min_object_um / pixel * (1 - 1e-9)))
