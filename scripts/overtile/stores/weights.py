"""Weight maps of whole slides, shard by shard with the halo that exactness needs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from overtile.geometry.borders import border_weights, halo_px
from overtile.geometry.components import IGNORE
from overtile.geometry.spans import Block, planes, read_clipped
from overtile.stores.ngff import multiscale_attributes
from overtile.stores.store import Store
from overtile.stores.writer import StoreWriter

AXES = ("z", "y", "x")


def weigh_block(
    instances: np.ndarray,
    inner: tuple[slice, ...],
    classes: np.ndarray,
    weights: dict,
    spacing: Sequence[float],
) -> np.ndarray:
    """w(x) = w_c(x) + border term of one block, (z, y, x) float32; 0 where labels are ignored.

    instances: the block with its halo, inner: where the block lies in it; classes: of the block.
    weights: w0, sigma_px and class_weights. spacing: pixel edges of the network's 2 or 3 axes;
    with 2 the planes of a stack are independent.
    Source: Ronneberger et al. 2015, equation 2, arXiv:1505.04597.
    """
    border = np.zeros(instances.shape, dtype=np.float32)
    for piece in planes(instances.shape, len(spacing)):
        part = instances[piece] if len(spacing) == 3 else instances[piece][0]
        found = border_weights(part, weights["w0"], weights["sigma_px"], spacing)
        border[piece] = found.reshape(border[piece].shape)
    of_class = np.zeros(256, dtype=np.float32)
    of_class[: len(weights["class_weights"])] = weights["class_weights"]
    return np.where(classes == IGNORE, 0, of_class[classes] + border[inner]).astype(np.float32)


def write_weights(
    reference: Store, folder: Path, key: str, weights: dict, spacing: Sequence[float]
) -> None:
    """Write the weight map of a slide's reference labels.

    weights, spacing: as for `weigh_block`.
    """
    classes = reference.label_classes()
    pixel_size_um = reference.attributes["pixel_size_um"]
    halo = ((0,) if len(spacing) == 2 else ()) + halo_px(weights["sigma_px"], spacing)
    writer = StoreWriter(folder, key, "weights")
    writer.add_array("0", reference.shape, np.float32, AXES)

    def weigh(block: Block) -> tuple[np.ndarray, dict]:
        instances, inner = read_clipped(reference.array, block, halo)
        return weigh_block(instances, inner, classes.array[block.slices], weights, spacing), {}

    writer.fill("0", weigh, "border weights")
    writer.commit(
        multiscale_attributes(folder.name, AXES, [(1, 1, 1)], pixel_size_um, is_label=False),
        pixel_size_um=pixel_size_um,
        reference=reference.digest,
        weights=weights,
        spacing=list(spacing),
    )
