"""What is known of each object of a slide: size, place, class, probability."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from overtile.errors import InputError
from overtile.geometry.object_sums import ObjectSums
from overtile.geometry.spans import Block, plan_blocks
from overtile.progress import progress
from overtile.stores.labels import distinct_ids
from overtile.stores.store import Store

BLOCK = {"picture": (1, 2048, 2048), "volume": (16, 512, 512)}
"""Edges (z, y, x) in px of what is read at once, whole chunks: shards may be too large for that."""


@dataclass(frozen=True)
class Objects:
    """All objects of a label store, in the order of their ids.

    ids: (n,) as stored. is_volume: whether z is an axis of theirs. sums: over their pixels. shape:
    of the slide, (z, y, x) px. pixel_size_um: (z, y, x) or None. class_names: by class. scale:
    turns stored probabilities into 0 to 1, None without. digest: of the labels.
    """

    ids: np.ndarray
    is_volume: bool
    sums: ObjectSums
    shape: tuple[int, int, int]
    pixel_size_um: tuple[float, float, float] | None
    class_names: tuple[str, ...]
    scale: float | None
    digest: str

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """Where the objects of these ids stand in all columns, int64."""
        return np.searchsorted(self.ids, ids)

    def columns(self, start: int, stop: int) -> dict[str, np.ndarray | None]:
        """The columns of the objects [start, stop); None for one that is not known.

        Column names end in their unit. Centres are in pixels whose centres are whole numbers, as
        in OME-Zarr and scikit-image. Boxes are half-open. Micrometres are pixels times their edge.
        class is a number, an index into `class_names`.
        """
        rows = slice(start, stop)
        axes = "zyx" if self.is_volume else "yx"
        size = self.pixel_size_um and self.pixel_size_um[-len(axes) :]
        extent, unit = ("volume", "um3") if self.is_volume else ("area", "um2")
        area, sums = self.sums.area_px[rows], self.sums
        centre = sums.place_sums[:, rows] / area
        low, high = sums.low[:, rows], sums.high[:, rows]
        at_border = (low == 0) | (high == np.array(self.shape[-len(axes) :])[:, None])
        mean = None if self.scale is None else sums.value_sums[rows] * self.scale / area
        return {
            "id": self.ids[rows],
            "class": sums.classes[rows],
            f"{extent}_px": area,
            f"{extent}_{unit}": area * np.prod(size) if size else None,
            **{f"centroid_{a}_px": centre[i] for i, a in enumerate(axes)},
            **{
                f"centroid_{a}_um": centre[i] * size[i] if size else None
                for i, a in enumerate(axes)
            },
            **{f"{a}0_px": low[i] for i, a in enumerate(axes)},
            **{f"{a}1_px": high[i] for i, a in enumerate(axes)},
            **{f"{a}0_um": low[i] * size[i] if size else None for i, a in enumerate(axes)},
            **{f"{a}1_um": high[i] * size[i] if size else None for i, a in enumerate(axes)},
            "mean_probability": mean,
            "touches_border": at_border.any(axis=0),
        }


def measure_objects(labels: Store, probabilities: Store | None = None) -> Objects:
    """Measure every object of a label store, block by block.

    probabilities: of the same slide, for the mean probability of each object's class over its
    pixels. The result is the same to the last bit whatever the blocks are. Memory: a block, and
    45 bytes per object of a picture or 61 of a volume (4 more with 64-bit ids, 8 more with
    probabilities): half a gigabyte for ten million objects.
    Raises InputError if the two stores do not fit together or one is damaged, or the labels hold
    an id that they should not have.
    """
    classes = labels.label_classes()
    names = classes.attributes["class_names"]
    if probabilities is not None:
        _check_fit(labels, names, probabilities)
    known = _known_ids(labels)
    count = labels.attributes["objects"] if known is None else len(known)
    is_volume = labels.shape[0] > 1
    sums = ObjectSums.zeros(count, 3 if is_volume else 2, probabilities is not None)
    blocks = reading_blocks(labels)
    with progress(len(blocks), label="measure objects") as advance:
        for block in blocks:
            values = None if probabilities is None else _read(probabilities, block)
            parts = _read(labels, block), known, _read(classes, block)
            try:
                sums.add(*parts, values, block.start)
            except ValueError as error:
                raise InputError(f"{labels.shown}: an {error}; make the labels again") from None
            advance()
    size = labels.attributes["pixel_size_um"]
    return Objects(
        ids=np.arange(1, count + 1, dtype=labels.array.dtype) if known is None else known,
        is_volume=is_volume,
        sums=sums,
        shape=labels.shape,
        pixel_size_um=size and tuple(size),
        class_names=tuple(names),
        scale=None if probabilities is None else probabilities.attributes["scale"],
        digest=labels.digest,
    )


def reading_blocks(labels: Store) -> list[Block]:
    """The blocks in which labels are walked over, in raster order."""
    return plan_blocks(labels.shape, BLOCK["volume" if labels.shape[0] > 1 else "picture"])


def _read(store: Store, block: Block) -> np.ndarray:
    return store.array[(..., *block.slices)]


def _known_ids(labels: Store) -> np.ndarray | None:
    """All ids in increasing order; None if they are 1 to n, as those of components always are."""
    if labels.attributes["kind"] != "instances":
        return None
    known = distinct_ids(labels.array)
    is_dense = len(known) == 0 or known[-1] == len(known)
    return None if is_dense else known


def _check_fit(labels: Store, names: Sequence[str], probabilities: Store) -> None:
    if probabilities.shape != labels.shape:
        raise InputError(
            f"{probabilities.path}: is {probabilities.shape} (z, y, x) px, the labels "
            f"{labels.shown} are {labels.shape}; give probabilities of the same slide"
        )
    if probabilities.attributes["class_names"] != names:
        raise InputError(
            f"{probabilities.path}: has classes {probabilities.attributes['class_names']}, the "
            f"labels {labels.shown} have {names}; give probabilities of the same classes"
        )
