"""Settings of one model: names, types and defaults."""

from dataclasses import dataclass, field

from overtile.errors import InputError
from overtile.settings.checks import read_record


@dataclass(frozen=True)
class Augmentation:
    """How much training tiles vary. All zero or False: not at all.

    elastic_px: standard deviation of the displacements on a grid of 3 points per axis, pixels.
    rotation_degrees: largest turn, either way, in the (y, x) plane. flips: along y and x (and z).
    contrast: largest relative change. brightness: largest shift, noise: standard deviation of
    white noise, both in standard deviations of the slide.
    """

    elastic_px: float = 10.0
    rotation_degrees: float = 180.0
    flips: bool = True
    contrast: float = 0.25
    brightness: float = 0.25
    noise: float = 0.05


@dataclass(frozen=True)
class Settings:
    """What a user decides about a model; config/README.md explains each."""

    family: str = "unet"
    ndim: int = 2
    width: int = 64
    depth: int = 4
    norm: str = "none"
    dropout: float = 0.5
    tile_px: tuple[int, ...] = (388, 388)
    batch_tiles: int = 1
    epochs: int = 100
    steps_per_epoch: int = 50
    validation_tiles: int = 16
    loss: str = "cross_entropy"
    optimiser: str = "adam"
    learning_rate: float = 0.0003
    w0: float = 10.0
    sigma_px: float = 5.0
    sigma_um: float | None = None
    border_tolerance: float = 1e-6
    separate_px: int = 1
    folds: int = 1
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)


def read_settings(values: dict, where: str) -> Settings:
    """Settings from plain values, defaults filled in. Raises InputError as `read_record` does."""
    settings = read_record(Settings, values, where)
    if len(settings.tile_px) != settings.ndim:
        raise InputError(
            f"{where}: tile_px: has {len(settings.tile_px)} values, the network has "
            f"{settings.ndim} axes; give one edge per axis"
        )
    return settings
