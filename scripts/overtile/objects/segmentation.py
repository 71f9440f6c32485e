"""From probabilities to a class map and objects."""

from math import ceil, prod
from pathlib import Path

from overtile.errors import InputError
from overtile.objects.class_map import ClassPicture
from overtile.settings.segmentation import Segmenting
from overtile.stores.labels import Components, write_numbered
from overtile.stores.scratch import remove_scratch
from overtile.stores.store import Store

ABOUT_PREDICTION = ("seams", "tiles", "tiles_computed", "predicted_um")
"""What a probability store says of how it was made that its segmentation says on."""


def write_segmentation(probabilities: Store, folder: Path, key: str, how: Segmenting) -> None:
    """Write class map and objects, numbered by the raster order of their first pixels.

    The same pixels for every size of chunks and shards. Memory grows with the number of objects,
    not with the slide. Raises InputError for what `Segmenting` and `ClassPicture` refuse.
    """
    how.check()
    least_px = least_object_px(probabilities, how)
    picture = ClassPicture(probabilities, how.threshold, how.seed_threshold is not None)
    if how.is_plain:
        objects = Components(picture.classes, picture.shape, least_px)
    else:
        from overtile.objects.pipeline import StagedObjects  # numba, which takes time to import

        objects = StagedObjects(picture, how, folder, key, least_px)
    names, size = (probabilities.attributes[name] for name in ("class_names", "pixel_size_um"))
    known = probabilities.attributes
    said = {name: known[name] for name in ABOUT_PREDICTION if name in known}
    write_numbered(folder, key, objects, names, size, "segmentation", prediction=said)
    remove_scratch(folder)


def least_object_px(store: Store, how: Segmenting) -> int:
    """Pixels that an object of a store must have, by both of its least sizes.

    Raises InputError if a pixel size is needed and the store has none.
    """
    if how.min_object_um is None:
        return how.min_object_px
    size = store.attributes["pixel_size_um"]
    if size is None:
        raise InputError(
            f"{store.path}: has no pixel size, but the smallest object is set in micrometres; "
            "give the slide a pixel_size_um in the sheet, or use --min-object-px"
        )
    pixel = prod(size[-2:] if store.shape[0] == 1 else size)
    # A size that is just reached must not be missed by rounding.
    return max(how.min_object_px, ceil(how.min_object_um / pixel * (1 - 1e-9)))
