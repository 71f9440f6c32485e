"""The picture of a weight map: a training patch, the labels to learn there, and their weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.ticker import MaxNLocator
from scipy import ndimage

from overtile.errors import InputError
from overtile.geometry.components import IGNORE
from overtile.geometry.spans import halve, plan_blocks
from overtile.reporting.closeup import densest_box
from overtile.reporting.models import Model
from overtile.reporting.pictures import indexed_colours, magnify, png
from overtile.reporting.planes import Box, contrast_limits, read_plane
from overtile.reporting.plots import COLOURS
from overtile.stores import layout
from overtile.stores.store import ROOT, Store, labels_of

PATCH_PX = 256
SQUARE_PX = 64  # steps in which a patch is placed; divides the edges of blocks
MOST_BLOCKS = 256
PANEL_PX = 768  # about, of the longer edge
STRIPE_PX = 12  # of a panel
SHADES = 192
RGB = tuple[int, int, int]


def rgb(code: str) -> RGB:
    """A colour from its hexadecimal code, #rrggbb."""
    red, green, blue = bytes.fromhex(code.removeprefix("#"))
    return red, green, blue


GROUND, STRIPES = (22, 27, 33), ((64, 71, 78), (128, 136, 144))
CELLS = [rgb(colour) for colour in (*COLOURS, "#F0E442", "#FFFFFF")]


@dataclass(frozen=True)
class Patch:
    """Where a weight map is drawn: plane z and box (y, x) of full size, in pixels.

    has_border: whether any border weighs there; else it is the middle of the slide.
    """

    z: int
    box: Box
    has_border: bool


@dataclass(frozen=True)
class WeightFigure:
    """A patch as three PNG pictures of one size, and the colours of the weights.

    scale: PNG, weight 0 at its left and the patch's largest at its right, which top names. ticks:
    (percent of its width, weight). class_weights: (name, weight).
    """

    slide: str
    planes: int
    patch: Patch
    image: bytes
    labels: bytes
    weights: bytes
    scale: bytes
    ticks: tuple[tuple[float, str], ...]
    top: float
    has_ignored: bool
    class_weights: tuple[tuple[str, float], ...]


def draw_figures(
    models: Sequence[Model], weights: Sequence[Path], targets: Sequence[Path], slides: Path | None
) -> list[WeightFigure | None]:
    """One figure per model; None without weight maps, or where the slide's picture is not there.

    weights, targets: a weight map and the labels it is for, per model, or none. slides: folder of
    `{slide}.ome.zarr`. Raises InputError for other numbers, or stores that do not belong together.
    """
    if not weights and not targets:
        return [None] * len(models)
    if not len(weights) == len(targets) == len(models):
        raise InputError(
            f"--weights: {len(weights)} and --targets: {len(targets)} for {len(models)} models; "
            "give one of each per model in the order of --models, or neither"
        )
    figures = []
    for model, weights_path, target_path in zip(models, weights, targets, strict=True):
        store, labels = Store.open(weights_path, "weights"), Store.open(target_path, "labels")
        _refuse_others(store, labels, model)
        image = _find_picture(slides, store.name)
        figures.append(draw_figure(image, labels, store) if image else None)
    return figures


def _find_picture(slides: Path | None, name: str) -> Store | None:
    path = slides / f"{name}.ome.zarr" if slides else None
    return Store.open(path, "picture") if path and (path / ROOT).is_file() else None


def _refuse_others(weights: Store, labels: Store, model: Model) -> None:
    """Raise InputError for a weight map of other labels, or made with another plan."""
    if weights.attributes["labels"] != labels.digest:
        raise InputError(
            f"{weights.path}: is the weight map of labels {weights.attributes['labels'][:12]}, but "
            f"{labels.path} has digest {labels.digest[:12]}; weigh it again, or give --weights and "
            "--targets in the same order"
        )
    planned = model.weights
    for key, wanted in {
        "w0": planned.w0,
        "sigma": planned.sigma_px if planned.sigma_um is None else planned.sigma_um,
        "tolerance": planned.tolerance,
        "class_weights": list(planned.class_weights),
    }.items():
        found = weights.attributes["weighting"][key]
        if found != wanted:
            raise InputError(
                f"{weights.path}: has {key} {found}, the plan of model {model.name} {wanted}; "
                "weigh it again, or give --weights in the order of --models"
            )


def draw_figure(image: Store, labels: Store, weights: Store) -> WeightFigure:
    """Draw the patch of a slide where borders weigh most.

    labels: what the network learns; weights: theirs. Raises InputError if the labels' shape is
    not the picture's.
    """
    labels_of([image], [labels.path])
    classes = labels.label_classes()
    patch = choose_patch(weights, classes)
    picture, ids, class_map, weight = (
        read_plane(store, 0, patch.box, patch.z) for store in (image, labels, classes, weights)
    )
    factor = max(1, PANEL_PX // max(weight.shape))
    pixels, palette = indexed_colours(picture, contrast_limits(picture))
    ignored = class_map == IGNORE
    top = float(weight.max()) or 1.0
    shades = np.rint(weight / top * (SHADES - 1)).astype(np.uint8)
    return WeightFigure(
        weights.name,
        weights.shape[0],
        patch,
        png(palette, magnify(pixels, factor)),
        draw_labels(ids, ignored, factor),
        png(weight_colours(), magnify(shades, factor)),
        png(weight_colours(), np.arange(SHADES, dtype=np.uint8)[None]),
        ticks(top),
        top,
        bool(ignored.any()),
        tuple(
            zip(
                classes.attributes["class_names"],
                weights.attributes["weighting"]["class_weights"],
                strict=True,
            )
        ),
    )


def choose_patch(weights: Store, classes: Store) -> Patch:
    """The patch of at most 256 x 256 px with most border weight, in the plane with most of it."""
    sums = border_sums(weights, classes)
    has_border = bool(sums.any())
    z = int(sums.sum(axis=(1, 2)).argmax()) if has_border else weights.shape[0] // 2
    y, x = (
        _patch_side(side.start * SQUARE_PX, length)
        for side, length in zip(
            densest_box(sums[z], PATCH_PX // SQUARE_PX), weights.shape[1:], strict=True
        )
    )
    return Patch(z, (y, x), has_border)


def _patch_side(wanted_start: int, length: int) -> slice:
    """256 px of an axis from a start on, or before it where the axis ends."""
    start = max(0, min(wanted_start, length - PATCH_PX))
    return slice(start, min(length, start + PATCH_PX))


def border_sums(weights: Store, classes: Store) -> np.ndarray:
    """Border terms of a weight map, summed over squares of 64 px: (z, y, x) int64.

    In thousandths of w0: sums of whole numbers are exact in any order. Reads one small block at a
    time; of more than 256, as many, spread evenly, and the squares of the others stay 0.
    """
    weighting = weights.attributes["weighting"]
    of_class = np.zeros(256, dtype=np.float32)
    of_class[: len(weighting["class_weights"])] = weighting["class_weights"]
    square = (1, SQUARE_PX, SQUARE_PX)
    sums = np.zeros(halve(weights.shape, square), dtype=np.int64)
    size = layout.PICTURE_SHARD if weights.shape[0] == 1 else layout.VOLUME_SHARD
    blocks = plan_blocks(weights.shape, size)
    read = np.linspace(0, len(blocks) - 1, min(MOST_BLOCKS, len(blocks))).astype(int)
    for block in (blocks[number] for number in read):
        terms = weights.array[block.slices] - of_class[classes.array[block.slices]]
        for axis in (1, 2):
            terms = np.add.reduceat(terms, range(0, terms.shape[axis], SQUARE_PX), axis=axis)
        first = [start // edge for start, edge in zip(block.start, square, strict=True)]
        place = tuple(slice(a, a + n) for a, n in zip(first, terms.shape, strict=True))
        sums[place] = np.rint(terms * (1000 / weighting["w0"]))
    return sums


def draw_labels(ids: np.ndarray, ignored: np.ndarray, factor: int) -> bytes:
    """A PNG of label ids (y, x), `factor` times magnified; neighbouring cells differ in colour.

    ignored: (y, x) bool, drawn as grey stripes.
    """
    cells, inside = np.unique(ids[ids > 0]), ids > 0
    numbers = np.zeros(ids.shape, dtype=np.int64)
    numbers[inside] = np.searchsorted(cells, ids[inside]) + 1
    colours = colour_cells(neighbours(numbers))
    of_number = np.array([0, *(colours[n] % len(CELLS) + 3 for n in range(1, len(cells) + 1))])
    pixels = magnify(of_number[numbers].astype(np.uint8), factor)
    diagonals = np.add.outer(*map(np.arange, pixels.shape))
    pixels = np.where(magnify(ignored, factor), 1 + diagonals // STRIPE_PX % 2, pixels)
    return png([GROUND, *STRIPES, *CELLS], pixels.astype(np.uint8))


def neighbours(numbers: np.ndarray) -> dict[int, set[int]]:
    """Cells next to each cell: those whose territories touch it, of the pixels nearest to a cell.

    numbers: (y, x), cells from 1 on, 0 = background.
    """
    cells = np.unique(numbers[numbers > 0]).tolist()
    near: dict[int, set[int]] = {number: set() for number in cells}
    if not near:
        return near
    nearest = ndimage.distance_transform_edt(
        numbers == 0, return_distances=False, return_indices=True
    )
    land = numbers[tuple(nearest)]
    for one, other in ((land[1:], land[:-1]), (land[:, 1:], land[:, :-1])):
        for a, b in np.unique(np.stack([one, other])[:, one != other], axis=1).T.tolist():
            near[a].add(b)
            near[b].add(a)
    return near


def colour_cells(near: dict[int, set[int]]) -> dict[int, int]:
    """A number from 0 for each cell, in order, the smallest that no neighbour has."""
    colours: dict[int, int] = {}
    for cell in near:
        taken = {colours.get(other) for other in near[cell]}
        colours[cell] = next(number for number in count() if number not in taken)
    return colours


def weight_colours() -> list[RGB]:
    """Colours of weights from 0 to the largest: equal steps look equally far apart."""
    shades = mpl.colormaps["magma"](np.linspace(0, 1, SHADES))[:, :3]
    return [(r, g, b) for r, g, b in np.rint(shades * 255).astype(int).tolist()]


def ticks(top: float) -> tuple[tuple[float, str], ...]:
    """(percent of top, text) of round weights from 0 to top."""
    values = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(0, top)
    return tuple((100 * v / top, f"{v:g}") for v in map(float, values) if 0 <= v <= top)
