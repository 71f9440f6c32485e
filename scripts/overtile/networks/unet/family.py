"""The U-Net: what is decided about it, and the sizes that follow. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

from overtile.errors import InputError
from overtile.networks.family import Decided, Decisions, Facts, Family, Geometry
from overtile.registry import Registry
from overtile.settings.checks import check_range, shown
from overtile.settings.model import Settings
from overtile.settings.ranges import DEPTHS, Depth, Kernel, Norm, Pool, Share, Width

LAYERS = Registry({"layers": "overtile.networks.unet.layers:UNet"})
"""Steps that run a network choose "layers" for the digest of their code; planning does not."""


@dataclass(frozen=True)
class UNetSettings:
    """Settings of a model that decide about its U-Net; config/README.md explains each."""

    width: Width
    depth: Depth
    norm: Norm
    dropout: Share


@dataclass(frozen=True)
class Architecture(Decisions):
    """A U-Net of valid convolutions for 2 or 3 spatial axes.

    pools: for each level of the contracting path, the pooling factor of each axis (1 or 2).
    kernels: for each level and the bottom, the kernel edge of each axis (1 or 3); anisotropic
    voxels begin with 1 along the coarse axis. width: channels of the first level, doubled with
    each. norm: "none" (the paper), "batch" (Çiçek et al. 2016), or "instance" (Ulyanov et al.
    2016; what nnU-Net uses), whose tiles are not exact.
    Source: Ronneberger et al. 2015, figure 1, arXiv:1505.04597; Çiçek et al. 2016,
    arXiv:1606.06650; Ulyanov et al. 2016, arXiv:1607.08022.
    """

    width: Width
    pools: tuple[tuple[Pool, ...], ...]
    kernels: tuple[tuple[Kernel, ...], ...]
    dropout: Share = Settings.dropout
    norm: Norm = Settings.norm

    @cached_property
    def geometry(self) -> Geometry:
        """Sizes of input and output.

        Instance normalisation takes its statistics from all pixels of a tile, so that what is said
        of a pixel depends on where the tile ends; such tiles are blended.
        """
        least = [self._least(axis) for axis in range(self.ndim)]
        return Geometry(
            ndim=self.ndim,
            margin_px=tuple((source - output) // 2 for source, output in least),
            stride=tuple(prod(factors) for factors in zip(*self.pools, strict=True)),
            least_px=tuple(output for _, output in least),
            is_exact=self.norm != "instance",
        )

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level, and of the bottom."""
        return tuple(self.width * 2**level for level in range(len(self.kernels)))

    def _least(self, axis: int) -> tuple[int, int]:
        """Input and output along an axis, in pixels, of the smallest tile."""
        levels = [
            (p[axis], 2 * (k[axis] - 1)) for p, k in zip(self.pools, self.kernels[:-1], strict=True)
        ]
        bottom = 1
        for factor, lost in levels:
            bottom = -(-(bottom + lost) // factor)
        output, source = bottom, bottom + 2 * (self.kernels[-1][axis] - 1)
        for factor, lost in reversed(levels):
            output = output * factor - lost
            source = source * factor + lost
        return source, output


def choose_levels(
    ndim: int, depth: int, spacing: Sequence[float]
) -> tuple[tuple[tuple[Pool, ...], ...], tuple[tuple[Kernel, ...], ...]]:
    """Pools and kernels of a network for pixels of the given edge lengths.

    An axis that is at least twice as coarse as the finest is neither pooled nor convolved until
    the others have caught up, so that the network sees about cubic voxels.

    Parameters
    ----------
    ndim : int
        Axes of the network, 2 or 3: the last ones of `spacing`.
    depth : int
        Number of poolings.
    spacing : sequence of float
        Pixel edges (z, y, x), in any unit.

    Returns
    -------
    pools, kernels : tuple of tuple of int
        Factors of each pooling, and kernel edges of each level and the bottom, (z) y x.

    Examples
    --------
    >>> choose_levels(3, 2, (4.0, 1.0, 1.0))
    (((1, 2, 2), (1, 2, 2)), ((1, 3, 3), (1, 3, 3), (3, 3, 3)))
    """
    edges = list(spacing[-ndim:])
    pools: list[tuple[Pool, ...]] = []
    kernels: list[tuple[Kernel, ...]] = []
    for _ in range(depth + 1):
        finest = min(edges)
        fine = [s < 2 * finest for s in edges]
        kernels.append(tuple(3 if f else 1 for f in fine))
        pools.append(tuple(2 if f else 1 for f in fine))
        edges = [s * p for s, p in zip(edges, pools[-1], strict=True)]
    return tuple(pools[:-1]), tuple(kernels)


class UNetFamily(Family[UNetSettings, Architecture]):
    """Valid convolutions, cropped skip connections; nothing is said of pixels but their class."""

    Settings = UNetSettings
    Decisions = Architecture

    def decide(self, facts: Facts, wanted: UNetSettings) -> Decided[Architecture]:
        """Levels from the shape of pixels; the rest is as wanted."""
        pools, kernels = choose_levels(facts.ndim, wanted.depth, facts.spacing)
        architecture = Architecture(
            ndim=facts.ndim,
            in_channels=facts.in_channels,
            classes=facts.classes,
            width=wanted.width,
            pools=pools,
            kernels=kernels,
            dropout=wanted.dropout,
            norm=wanted.norm,
        )
        edges = " : ".join(f"{edge:g}" for edge in facts.spacing[-facts.ndim :])
        reason = f"pixel edges are {edges}; an axis twice as coarse as the finest comes later"
        return Decided(architecture, {"pools": reason, "kernels": reason})

    def geometry(self, decided: Architecture) -> Geometry:
        """Of valid convolutions: what they lose is the margin."""
        return decided.geometry

    def describe(self, decided: Architecture) -> str:
        """In a few words."""
        levels = len(decided.pools)
        return (
            f"U-Net (valid convolutions, {levels} levels, width {decided.width}, "
            f"normalisation {decided.norm})"
        )

    def build(self, decided: Architecture):
        """Make the network."""
        return LAYERS.load("layers")(decided)  # late: torch

    def check(self, decided: Architecture, where: str) -> None:
        """Raise InputError for levels that do not fit together."""
        a = decided
        check_range("depth", len(a.pools), DEPTHS, where)
        if len(a.kernels) != len(a.pools) + 1:
            raise InputError(
                f"{where}: has {len(a.kernels)} kernels for {len(a.pools)} pools; give one per "
                "level, and one for the bottom"
            )
        for name, levels in (("pools", a.pools), ("kernels", a.kernels)):
            for level in levels:
                if len(level) != a.ndim:
                    raise InputError(
                        f"{where}: {name} is {shown(list(level))}; allowed: {a.ndim} values, one "
                        "per axis"
                    )

    def parameters(self, decided: Architecture) -> int:
        """Counted without torch, which takes seconds to import."""
        from overtile.networks.unet.sizes import count_parameters

        return count_parameters(decided)

    def largest_map(self, decided: Architecture, output_px: Sequence[int]) -> int:
        """Worked out without torch."""
        from overtile.networks.unet.sizes import largest_map

        return largest_map(decided, output_px)

    def weight_bytes(self, decided: Architecture, value_bytes: int) -> int:
        """Of the kernels."""
        from overtile.networks.unet.sizes import weight_bytes

        return weight_bytes(decided, value_bytes)

    def pass_bytes(self, decided: Architecture, tile_px: Sequence[int], value_bytes: int) -> int:
        """By a walk through the layers: tiles of finished slides were chosen by it."""
        from overtile.networks.unet.sizes import pass_bytes

        return pass_bytes(decided, tile_px, value_bytes)


UNET = UNetFamily()
