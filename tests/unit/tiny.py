"""A plan and slides so small that training with them takes a moment."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from overtile.networks.unet.family import Architecture, choose_levels
from overtile.planning.plan import Fold, Plan, Weights
from overtile.settings.model import Augmentation
from overtile.training.samples import Slide
from tests.plans import small_plan


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Threads that wait for one another are slower than one on a machine with other work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


NOTHING = Augmentation(0.0, 0.0, False, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Held:
    """What training uses of a store, held in memory."""

    name: str
    array: np.ndarray
    digest: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """(z, y, x) in pixels."""
        return self.array.shape[-3:]

    @property
    def mean(self) -> list[float]:
        """Of each channel."""
        return self.array.mean(axis=(1, 2, 3), dtype=np.float64).tolist()

    @property
    def std(self) -> list[float]:
        """Of each channel."""
        return self.array.std(axis=(1, 2, 3), dtype=np.float64).tolist()


@dataclass(frozen=True)
class AsStored(Held):
    """A picture that is normalised already: the network sees its values."""

    @property
    def mean(self) -> list[float]:
        """0 for each channel."""
        return [0.0] * len(self.array)

    @property
    def std(self) -> list[float]:
        """1 for each channel."""
        return [1.0] * len(self.array)


def slide_of(picture: np.ndarray, classes: np.ndarray, weights=None, name="one", kind=Held):
    """A slide of (c, z, y, x) pixels, (z, y, x) classes, and weights, 1 without them."""
    if weights is None:
        weights = np.ones(classes.shape, np.float32)
    parts = (kind(name, picture), Held(name, classes.astype(np.uint8)), Held(name, weights))
    return Slide(*parts)


def coordinates_of(shape: tuple[int, int, int], name="one") -> Slide:
    """A slide that says where each pixel lies: z, y, x as channels, x as class, y + 1 as weight."""
    where = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).astype(np.float32)
    return slide_of(where, where[2], where[1] + 1, name, AsStored)


def discs(seed: int, name: str, edge: int = 48) -> Slide:
    """A noisy picture of bright discs on dark ground, and where they are."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:edge, :edge]
    truth = np.zeros((edge, edge), bool)
    for cy, cx, r in zip(*rng.uniform(0, edge, (2, 5)), rng.uniform(4, 8, 5), strict=True):
        truth |= (y - cy) ** 2 + (x - cx) ** 2 < r**2
    picture = 100 + 40 * truth + rng.normal(0, 20, truth.shape)
    return slide_of(picture[None, None].astype(np.float32), truth[None], name=name)


def plan_of(
    ndim=2, depth=1, width=2, tile_px=12, channels=1, classes=2, norm="none", **changes
) -> Plan:
    """A plan; changes: any other field of it."""
    pools, kernels = choose_levels(ndim, depth, (1.0, 1.0, 1.0))
    network = Architecture(ndim, channels, classes, width, pools, kernels, 0.0, norm)
    names = ("background", *(f"kind{n}" for n in range(1, classes)))
    plan = small_plan(
        network,
        classes=names,
        tile_output_px=network.geometry.sizes_for((tile_px,) * ndim)[1],
        weights=Weights(10.0, 5.0, None, 1e-6, (1.0,) * classes),
        learning_rate=0.01,
        epochs=3,
        steps_per_epoch=2,
        validation_tiles=16,
        augmentation=NOTHING,
        folds=(Fold(("a", "b"), ("c",)),),
        slides=(),
    )
    return replace(plan, **changes)
