"""From probabilities to a class map and objects."""

from pathlib import Path

import numpy as np

from overtile.geometry.spans import Block
from overtile.stores.labels import write_component_store
from overtile.stores.store import Store


def most_probable(probabilities: np.ndarray) -> np.ndarray:
    """Class of highest probability, (c, z, y, x) to (z, y, x) uint8; the lower class wins a tie."""
    return probabilities.argmax(axis=0).astype(np.uint8)


def write_segmentation(probabilities: Store, folder: Path, key: str, min_object_px: int) -> None:
    """Write class map and objects (face-connected components of each foreground class).

    min_object_px: smaller components become background.
    """

    def classify(block: Block) -> np.ndarray:
        return most_probable(probabilities.array[(slice(None), *block.slices)])

    write_component_store(
        folder,
        key,
        probabilities.shape,
        classify,
        probabilities.attributes["class_names"],
        probabilities.attributes["pixel_size_um"],
        kind="segmentation",
        min_object_px=min_object_px,
    )
