"""The plan of a training, typed: what was decided, and what follows from it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, cast

from overtile.networks.channels import Channel
from overtile.networks.family import FIRST_FAMILY, AnyFamily, Decisions, Geometry, load_family
from overtile.settings.keys import plain_values
from overtile.settings.model import Augmentation
from overtile.settings.ranges import (
    BatchTiles,
    Count,
    EdgePx,
    Fraction,
    Loss,
    Natural,
    Optimiser,
    Positive,
    Real,
    Seed,
)

FORMAT: Literal[1] = 1

FIRST = frozenset(
    (
        *("format", "classes", "architecture", "spacing", "tile_output_px", "weights", "loss"),
        *("optimiser", "learning_rate", "batch_tiles", "epochs", "steps_per_epoch"),
        *("validation_tiles", "augmentation", "seed", "folds", "slides"),
        *("ndim", "in_channels", "width", "pools", "kernels", "dropout", "norm"),
        *("w0", "sigma_px", "sigma_um", "tolerance", "class_weights", "train", "validation"),
        *("elastic_px", "rotation_degrees", "flips", "contrast", "brightness", "noise"),
        *("slide", "digest", "labels_digest", "separate_px", "shape_px", "channels"),
        *("pixel_size_um", "dtype", "mean", "std", "class_counts", "ignored_px", "objects"),
        *("mean_object_px",),
    )
)
"""Keys, at any depth, that plans had from the beginning."""


@dataclass(frozen=True)
class Weights:
    """How a weight map is made; see `targets.weights.Weighting`. class_weights: one per class."""

    w0: Positive
    sigma_px: Positive
    sigma_um: Positive | None
    tolerance: Fraction
    class_weights: tuple[float, ...]


@dataclass(frozen=True)
class Fold:
    """Names of the slides that one network learns from, and of those that choose its epoch."""

    train: tuple[str, ...]
    validation: tuple[str, ...]

    @property
    def slides(self) -> tuple[str, ...]:
        """All of them, those to learn from first."""
        return self.train + self.validation


@dataclass(frozen=True)
class Fingerprint:
    """What a slide and the labels to learn are like: size, intensities, objects.

    slide: its name. digest, labels_digest: of the two stores. shape_px, pixel_size_um: (z, y, x).
    mean, std: of each channel. class_counts, ignored_px: pixels.
    """

    slide: str
    digest: str
    labels_digest: str
    separate_px: int
    shape_px: tuple[Natural, ...]
    channels: Natural
    pixel_size_um: tuple[Positive, ...] | None
    dtype: str
    mean: tuple[Real, ...]
    std: tuple[float, ...]
    class_counts: tuple[int, ...]
    ignored_px: int
    objects: int
    mean_object_px: float | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every decision about a training; fields are the keys of plan.yaml.

    family: the kind of network. architecture: what that family decided. spacing: pixel edges of the
    network's axes in pixels of the finest of y and x. tile_output_px: of training tiles,
    (z) y x. slides: what was looked at to decide.
    """

    format: Literal[1]
    classes: tuple[str, ...]
    family: str = FIRST_FAMILY
    architecture: Decisions
    spacing: tuple[Positive, ...]
    tile_output_px: tuple[EdgePx, ...]
    weights: Weights
    loss: Loss
    optimiser: Optimiser
    learning_rate: Positive
    batch_tiles: BatchTiles
    epochs: Count
    steps_per_epoch: Count
    validation_tiles: Count
    augmentation: Augmentation
    seed: Seed
    folds: tuple[Fold, ...]
    slides: tuple[Fingerprint, ...]

    @property
    def tile_input_px(self) -> tuple[int, ...]:
        """Edges of what a network sees of a tile: they follow from its output."""
        return self.geometry.sizes_for(self.tile_output_px)[0]

    @cached_property
    def network(self) -> AnyFamily:
        """The family, which answers for `architecture`."""
        return load_family(self.family, "plan")

    @cached_property
    def geometry(self) -> Geometry:
        """Sizes of the network's input and output."""
        return self.network.geometry(self.architecture)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """What the network says of a pixel."""
        return self.network.channels(self.architecture, self.classes)

    def written(self) -> dict:
        """Plain values of plan.yaml. What came after FIRST stands there if it is not the default.

        So a new setting changes no file and no key of a training that does not use it.
        """
        return cast(dict, plain_values(self, FIRST))

    def identity(self) -> dict:
        """What makes a training what it is, as plain values: keys of finished work are made of it.

        Its form must stay as it is, whatever the file's: else no finished training is known any
        more. The slides count by the digests of their stores.
        """
        values = self.written()
        del values["slides"]
        return {**values, "tile_input_px": list(self.tile_input_px)}
