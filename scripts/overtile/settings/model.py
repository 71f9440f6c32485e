"""Settings of one model: names, types, ranges, defaults and help."""

from dataclasses import dataclass
from typing import Annotated

from overtile.errors import InputError
from overtile.settings.checks import read_record
from overtile.settings.declared import Section, setting
from overtile.settings.ranges import (
    Axes,
    BatchTiles,
    Count,
    Depth,
    EdgePx,
    Fraction,
    Length,
    Loss,
    Norm,
    Optimiser,
    Positive,
    Range,
    Seed,
    Share,
    Width,
)
from overtile.settings.together import tile_fault


@dataclass(frozen=True)
class Augmentation(Section):
    """Random changes of training tiles. 0 or false: no change."""

    FIRST = frozenset(
        ("elastic_px", "rotation_degrees", "flips", "contrast", "brightness", "noise")
    )

    elastic_px: float = setting(
        10.0,
        "Standard deviation of elastic displacements, on a grid of 3 points per axis.",
        unit="px",
    )
    rotation_degrees: Annotated[float, Range(0, 180)] = setting(
        180.0, "Largest turn in the (y, x) plane, in either direction.", unit="degrees"
    )
    flips: bool = setting(True, "Mirror tiles along every axis.")
    contrast: Share = setting(0.25, "Largest relative change of contrast.")
    brightness: float = setting(
        0.25, "Largest shift of brightness.", unit="standard deviations of the slide"
    )
    noise: float = setting(
        0.05, "Standard deviation of white noise.", unit="standard deviations of the slide"
    )


@dataclass(frozen=True)
class Settings(Section):
    """What a user decides about a model."""

    FIRST = frozenset(
        (
            *("ndim", "width", "depth", "norm", "dropout", "tile_px", "batch_tiles", "epochs"),
            *("steps_per_epoch", "validation_tiles", "loss", "optimiser", "learning_rate", "w0"),
            *("sigma_px", "sigma_um", "border_tolerance", "separate_px", "folds", "seed"),
            "augmentation",
        )
    )

    family: str = setting("unet", "Kind of network. unet: the U-Net.")
    ndim: Axes = setting(
        2, "Spatial axes of the network. 2: a stack is taken plane by plane. 3: volumes."
    )
    width: Width = setting(
        64, "Channels of the first level. Each level has twice as many. The paper has 64."
    )
    depth: Depth = setting(
        4,
        "Number of poolings. An axis at least twice as coarse as the finest one is pooled later.",
    )
    norm: Norm = setting(
        "none",
        "Normalisation after each convolution. none: as in the paper. batch: by the statistics of "
        "training. instance: by those of each tile, as in nnU-Net. With none and batch, tiles "
        "equal the whole picture. With instance, tiles overlap by half and are blended.",
    )
    dropout: Share = setting(
        0.5, "Share of features that are dropped at the end of the contracting path."
    )
    tile_px: Annotated[tuple[EdgePx, ...], Length(2, 3)] = setting(
        (388, 388),
        "Edges (z) y x, in pixels, of what the network gives for a training tile. What it sees of "
        "the tile is larger by its margin.",
        unit="px",
    )
    batch_tiles: BatchTiles = setting(1, "Tiles per step.")
    epochs: Count = setting(100, "Number of epochs. Each ends with validation and a checkpoint.")
    steps_per_epoch: Count = setting(50, "Steps per epoch.")
    validation_tiles: Count = setting(
        16, "Largest number of tiles in each validation, over all validation slides."
    )
    loss: Loss = setting(
        "cross_entropy",
        "cross_entropy: weighted, as in the paper. cross_entropy_dice: the same with a Dice term.",
    )
    optimiser: Optimiser = setting("adam", "adam, or sgd: with momentum 0.99, as in the paper.")
    learning_rate: Positive = setting(
        0.0003, "Learning rate of the first step. It falls polynomially to 0."
    )
    w0: Positive = setting(
        10.0,
        "Height of the border term of the weight map. The term is also high where objects of "
        "different classes touch: use a small value for such labels.",
    )
    sigma_px: Positive = setting(5.0, "Width of the border term of the weight map.", unit="px")
    sigma_um: Positive | None = setting(
        None,
        "The same width in micrometres, in place of sigma_px. Slides then need a pixel size.",
        unit="um",
    )
    border_tolerance: Fraction = setting(
        1e-6,
        "A border term below this fraction of w0 becomes 0. With a larger value, the term "
        "reaches less far, which is faster.",
    )
    separate_px: int = setting(
        1,
        "With kind instances: pixels within this distance of another cell become background in "
        "the training labels. Touching cells then have a gap of 2 x separate_px. 0: no gap.",
        unit="px",
    )
    folds: Annotated[int, Range(1, 1000)] = setting(
        1,
        "1: train once on split train, and keep the epoch that is best on split val. K: train K "
        "networks, each validated on groups that it did not see, and average them.",
    )
    seed: Seed = setting(0, "Seed of everything random.")
    augmentation: Augmentation = setting(Augmentation(), "Random changes of training tiles.")


def read_settings(values: dict, where: str) -> Settings:
    """Settings from plain values, defaults filled in. Raises InputError as `read_record` does."""
    settings = read_record(Settings, values, where)
    fault = tile_fault(settings.ndim, settings.tile_px)
    if fault:
        raise InputError(f"{where}: {fault}")
    return settings
