"""Training tiles: cut, deformed and normalised, each a function of seed and step alone."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from overtile.errors import InputError
from overtile.geometry.components import IGNORE
from overtile.geometry.spans import read_mirrored
from overtile.networks.normalise import Normalised
from overtile.planning.plan import Plan
from overtile.stores.store import Store, labels_of
from overtile.training.augment import change_intensity, resample, sample_coordinates

AHEAD = 3


@dataclass(frozen=True)
class Slide:
    """A labelled slide as training sees it: picture, class map and weight map on disk."""

    image: Store
    classes: Store
    weights: Store

    @classmethod
    def open(cls, image: Store, labels: Store, weights: Store) -> "Slide":
        """A picture with the labels to learn and their weight map; InputError if not theirs."""
        if weights.attributes["labels"] != labels.digest:
            raise InputError(
                f"{weights.path}: is not the weight map of {labels.path}; weigh it again, and "
                "give images, labels and weights in the same order"
            )
        slide = cls(image, labels.label_classes(), weights)
        for store in (slide.image, slide.classes, slide.weights):
            store.level(0)  # a lost shard is told now, not after hours
        return slide

    @property
    def normalised(self) -> Normalised:
        """The image as the network sees it."""
        return Normalised(self.image.array, self.image.mean, self.image.std)


def open_slides(
    images: Sequence[Path], labels: Sequence[Path] | None, weights: Sequence[Path]
) -> dict[str, Slide]:
    """Slides by name from their stores, in the order given; InputError, one line, if they differ.

    labels: without them `labels/reference` inside each picture.
    """
    if len(images) != len(weights):
        raise InputError(
            f"--weights: {len(weights)} maps for {len(images)} images; give one per image"
        )
    stores = [Store.open(path, "picture") for path in images]
    slides: dict[str, Slide] = {}
    for image, own_labels, path in zip(stores, labels_of(stores, labels), weights, strict=True):
        if image.name in slides:
            raise InputError(f"--images: two slides have the name {image.name}; rename one")
        slides[image.name] = Slide.open(image, own_labels, Store.open(path, "weights"))
    return slides


def refuse_unlike(plan: Plan, slides: Iterable[Slide]) -> None:
    """Raise InputError, one line, where channels, classes or weights are not those of a plan.

    Also for a plan whose network has channels that no loss is for: they would count as classes.
    """
    others = [channel.name for channel in plan.channels if channel.kind != "probability"]
    if others:
        raise InputError(
            f"plan: family is {plan.family!r}, whose network gives more than classes "
            f"({', '.join(others)}); only classes can be trained; choose another family"
        )
    for slide in slides:
        channels = slide.image.array.shape[0]
        if channels != plan.architecture.in_channels:
            raise InputError(
                f"{slide.image.path}: has {channels} channels, the network of the plan takes "
                f"{plan.architecture.in_channels}; make the plan with scripts/plan.py for these "
                "slides"
            )
        found = slide.classes.attributes["class_names"]
        if tuple(found) != plan.classes:
            raise InputError(
                f"{slide.classes.path}: has the classes {', '.join(found)}, the plan has "
                f"{', '.join(plan.classes)}; make the plan with scripts/plan.py for these labels"
            )
        _refuse_other_weights(plan, slide.weights)


def _refuse_other_weights(plan: Plan, weights: Store) -> None:
    planned = plan.weights
    sigma = planned.sigma_px if planned.sigma_um is None else planned.sigma_um
    wanted = {
        "w0": planned.w0,
        "sigma": sigma,
        "tolerance": planned.tolerance,
        "class_weights": list(planned.class_weights),
    }
    for name, value in wanted.items():
        found = weights.attributes["weighting"][name]
        if found != value:
            raise InputError(
                f"{weights.path}: was made with {name} {found}, the plan has {value}; weigh the "
                "labels again with scripts/weigh.py and this plan"
            )


@dataclass(frozen=True)
class Tile:
    """image (c, *input_px) float32, labels (*output_px) int64, weights (*output_px) float32.

    labels: classes of pixels. A batch has one more axis, the first, over its tiles.
    """

    image: np.ndarray
    labels: np.ndarray
    weights: np.ndarray


class TileSampler:
    """Random training tiles of a plan.

    Slides are drawn in proportion to their pixels, places evenly; for a network of two axes the
    planes of a stack are pictures of their own.
    """

    def __init__(self, slides: Sequence[Slide], plan: Plan, fold: int):
        self._slides = slides
        self._input = plan.tile_input_px
        self._output = plan.tile_output_px
        self._spacing = plan.spacing
        self._augmentation = plan.augmentation
        self._batch = plan.batch_tiles
        self._seed = (plan.seed, fold)
        sizes = np.array([np.prod(s.image.shape) for s in slides], dtype=np.float64)
        self._chances = sizes / sizes.sum()

    def tile(self, step: int, item: int) -> Tile:
        """The tile of a step of training: the same on every call."""
        rng = np.random.default_rng([*self._seed, step, item])
        slide = self._slides[rng.choice(len(self._slides), p=self._chances)]
        shape = slide.image.shape
        ndim = len(self._input)
        leading = (int(rng.integers(shape[0])),) if ndim == 2 else ()
        centre = rng.uniform(0, np.array(shape[-ndim:]) - 1)
        places = sample_coordinates(rng, centre, self._input, self._spacing, self._augmentation)
        image, labels, weights = cut(slide, leading, places, self._output)
        image = change_intensity(rng, image, self._augmentation)
        return Tile(image, labels, weights)

    def batches(self, first_step: int, last_step: int) -> Iterator[Tile]:
        """Batches of steps [first, last), stacked, prepared ahead by a thread of its own."""
        with ThreadPoolExecutor(1) as pool:
            waiting = []
            for step in range(first_step, last_step + AHEAD):
                if step < last_step:
                    waiting.append(pool.submit(self._stack, step))
                if step >= first_step + AHEAD:
                    yield waiting.pop(0).result()

    def _stack(self, step: int) -> Tile:
        return stack([self.tile(step, item) for item in range(self._batch)])


def stack(tiles: Sequence[Tile]) -> Tile:
    """Tiles of equal size as one batch."""
    return Tile(
        np.stack([t.image for t in tiles]),
        np.stack([t.labels for t in tiles]),
        np.stack([t.weights for t in tiles]),
    )


def cut(
    slide: Slide, leading: tuple[int, ...], places: np.ndarray, output_px: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normalised image at all given places, labels and weights at the central ones.

    leading: the plane, for a network of two axes. places: (ndim, *input_px) coordinates. Pixels are
    normalised before they are resampled: sums of stored values would lose a small contrast.
    """
    start = [int(np.floor(axis.min())) for axis in places]
    stop = [int(np.ceil(axis.max())) + 1 for axis in places]
    middle = tuple(
        slice((n - m) // 2, (n - m) // 2 + m)
        for n, m in zip(places.shape[1:], output_px, strict=True)
    )
    inner = places[(slice(None), *middle)]
    box = read_mirrored(slide.normalised, start, stop, (slice(None), *leading))
    image = np.stack([resample(channel, start, places, 1) for channel in box])
    start = [int(np.floor(axis.min())) for axis in inner]
    stop = [int(np.ceil(axis.max())) + 1 for axis in inner]
    box = read_mirrored(slide.classes.array, start, stop, leading)
    labels = resample(box, start, inner, 0).astype(np.int64)
    box = read_mirrored(slide.weights.array, start, stop, leading)
    weights = resample(box, start, inner, 1)
    ignored = labels == IGNORE
    return image, np.where(ignored, 0, labels), np.where(ignored, 0, weights).astype(np.float32)


def validation_tiles(slides: Sequence[Slide], plan: Plan) -> Iterator[Tile]:
    """Undistorted tiles of the validation slides, spread evenly, the same in every epoch.

    At most the plan's `validation_tiles` over all slides; pixels beyond a slide's end weigh 0.
    """
    output = plan.tile_output_px
    every = [(slide, corner) for slide in slides for corner in _corners(slide.image.shape, output)]
    count = min(plan.validation_tiles, len(every))
    for number in np.unique(np.linspace(0, len(every) - 1, count).astype(int)):
        slide, corner = every[number]
        yield stack([_validation_tile(slide, corner, plan)])


def _validation_tile(slide: Slide, corner: tuple[int, int, int], plan: Plan) -> Tile:
    output = plan.tile_output_px
    ndim = len(output)
    offsets = [
        np.arange(n) - (n - m) // 2 + c
        for n, m, c in zip(plan.tile_input_px, output, corner[-ndim:], strict=True)
    ]
    places = np.stack(np.meshgrid(*offsets, indexing="ij")).astype(float)
    image, labels, weights = cut(slide, corner[: 3 - ndim], places, output)
    for axis, (c, n) in enumerate(zip(corner[-ndim:], slide.image.shape[-ndim:], strict=True)):
        beyond = np.arange(output[axis]) + c >= n
        weights[(slice(None),) * axis + (beyond,)] = 0
    return Tile(image, labels, weights)


def _corners(shape: tuple[int, int, int], output: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Corners (z, y, x) of the tiles that cover a slide."""
    steps = (1, *output) if len(output) == 2 else output
    axes = [range(0, n, s) for n, s in zip(shape, steps, strict=True)]
    return [(z, y, x) for z, y, x in product(*axes)]
