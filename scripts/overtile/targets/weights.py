"""Weight maps of whole slides, shard by shard with the halo that exactness needs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from overtile.errors import InputError
from overtile.geometry.borders import (
    LARGEST_RATIO,
    TOLERANCE,
    border_reach,
    border_weights,
    halo_px,
)
from overtile.geometry.components import IGNORE
from overtile.geometry.spans import Block
from overtile.stores.ngff import multiscale_attributes
from overtile.stores.store import Store
from overtile.stores.subblocks import compute_by_subblock
from overtile.stores.writer import StoreWriter

AXES = ("z", "y", "x")


@dataclass(frozen=True)
class Weighting:
    """How a weight map is made: w(x) = w_c(x) + w_0 exp(-(d_1 + d_2)^2 / (2 sigma^2)).

    class_weights: w_c of each class. sigma and spacing share a unit; spacing has the pixel edges
    of the network's 2 or 3 axes, and with 2 the planes of a stack are independent. tolerance: the
    border term is 0 where it is below this fraction of w_0.
    Source: Ronneberger et al. 2015, equation 2, arXiv:1505.04597.
    """

    class_weights: list[float]
    w0: float
    sigma: float
    spacing: list[float]
    tolerance: float = TOLERANCE

    @property
    def halo_px(self) -> tuple[int, ...]:
        """Pixels beyond a block, (z, y, x), in which cells matter to it."""
        halo = halo_px(border_reach(self.sigma, self.tolerance), self.spacing)
        return (0,) * (3 - len(halo)) + halo


def choose_weighting(
    labels: Store,
    class_weights: Sequence[float],
    w0: float,
    sigma_px: float,
    sigma_um: float | None,
    tolerance: float,
    spacing: Sequence[float],
    name: str,
) -> Weighting:
    """How to weigh a slide's labels, in pixels or in micrometres.

    name: of the labels, for messages. spacing: edges of the network's axes in pixels of the finest
    of y and x. sigma_um: if given, it takes the place of sigma_px, and the slide's own pixel size
    that of spacing. Raises InputError if the slide has none, or for lengths that differ too much.
    """
    sigma = sigma_px
    if sigma_um is not None:
        size = labels.attributes["pixel_size_um"]
        if size is None:
            raise InputError(
                f"{name}: has no pixel size, but sigma is given in micrometres; "
                "give the slide a pixel_size_um in the sheet, or sigma in pixels"
            )
        sigma, spacing = sigma_um, size[-len(spacing) :]
    if max(*spacing, sigma) > LARGEST_RATIO * min(*spacing, sigma):
        raise InputError(
            f"{name}: sigma is {sigma}, pixel edges are {list(spacing)}; allowed: within a factor "
            f"of {LARGEST_RATIO:g}; correct the pixel size or sigma"
        )
    return Weighting(list(class_weights), w0, sigma, list(spacing), tolerance)


def weigh_block(labels: Store, classes: Store, block: Block, weighting: Weighting) -> np.ndarray:
    """w(x) of one block, (z, y, x) float32; 0 where labels are ignored.

    Cells of different classes are neighbours like any others.
    """
    w = weighting
    weights = compute_by_subblock(
        labels.array,
        block,
        w.halo_px,
        len(w.spacing),
        lambda instances: border_weights(instances, w.w0, w.sigma, w.spacing, w.tolerance),
        np.float32,
    )
    class_of = classes.array[block.slices]
    for number, weight in enumerate(weighting.class_weights):
        np.add(weights, np.float32(weight), out=weights, where=class_of == number)
    weights[class_of == IGNORE] = 0
    return weights


def write_weights(
    labels: Store, folder: Path, key: str, weighting: Weighting, workers: int = 1
) -> None:
    """Write the weight map of a slide's labels; `workers` blocks at once."""
    classes = labels.label_classes()
    for store in (labels, classes):
        store.level(0)  # a lost shard is told before anything is written
    pixel_size_um = labels.attributes["pixel_size_um"]
    writer = StoreWriter(folder, key, "weights")
    writer.add_array("0", labels.shape, np.float32, AXES)

    def weigh(block: Block) -> tuple[np.ndarray, dict]:
        return weigh_block(labels, classes, block, weighting), {}

    writer.fill("0", weigh, label="border weights", workers=workers)
    writer.commit(
        multiscale_attributes(folder.name, AXES, [(1, 1, 1)], pixel_size_um, is_label=False),
        pixel_size_um=pixel_size_um,
        labels=labels.digest,
        weighting=asdict(weighting),
    )
