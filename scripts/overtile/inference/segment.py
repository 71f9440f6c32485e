"""From probabilities to a class map and objects."""

from pathlib import Path

from overtile.inference.class_picture import ClassPicture
from overtile.inference.segmenting import Segmenting
from overtile.stores.labels import Components, write_numbered
from overtile.stores.store import Store
from overtile.stores.work import remove_work

ABOUT_PREDICTION = ("seams", "tiles", "tiles_computed", "predicted_um")
"""What a probability store says of how it was made that its segmentation says on."""


def write_segmentation(probabilities: Store, folder: Path, key: str, how: Segmenting) -> None:
    """Write class map and objects, numbered by the raster order of their first pixels.

    The same pixels for every size of chunks and shards. Memory grows with the number of objects,
    not with the slide. Raises InputError for what `Segmenting` and `ClassPicture` refuse.
    """
    how.check()
    least_px = how.least_px(probabilities)
    picture = ClassPicture(probabilities, how.threshold, how.seed_threshold is not None)
    if how.is_plain:
        objects = Components(picture.classes, picture.shape, least_px)
    else:
        from overtile.inference.staged import StagedObjects  # numba, which takes time to import

        objects = StagedObjects(picture, how, folder, key, least_px)
    names, size = (probabilities.attributes[name] for name in ("class_names", "pixel_size_um"))
    known = probabilities.attributes
    said = {name: known[name] for name in ABOUT_PREDICTION if name in known}
    write_numbered(folder, key, objects, names, size, "segmentation", prediction=said)
    remove_work(folder)
