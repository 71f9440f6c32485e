"""What a U-Net looks like, and the sizes that follow: no torch here."""

from dataclasses import dataclass
from math import prod

from overtile.settings.model import Settings
from overtile.settings.ranges import Axes, Channels, ClassCount, Kernel, Norm, Pool, Share, Width


@dataclass(frozen=True)
class Architecture:
    """A U-Net of valid convolutions for 2 or 3 spatial axes.

    pools: for each level of the contracting path, the pooling factor of each axis (1 or 2).
    kernels: for each level and the bottom, the kernel edge of each axis (1 or 3); anisotropic
    voxels begin with 1 along the coarse axis. width: channels of the first level, doubled with
    each. norm: "none" (the paper), "batch" (Çiçek et al. 2016), or "instance" (Ulyanov et al.
    2016; what nnU-Net uses), whose tiles are not exact.
    Source: Ronneberger et al. 2015, figure 1, arXiv:1505.04597; Çiçek et al. 2016,
    arXiv:1606.06650; Ulyanov et al. 2016, arXiv:1607.08022.
    """

    ndim: Axes
    in_channels: Channels
    classes: ClassCount
    width: Width
    pools: tuple[tuple[Pool, ...], ...]
    kernels: tuple[tuple[Kernel, ...], ...]
    dropout: Share = Settings.dropout
    norm: Norm = Settings.norm

    @property
    def is_exact(self) -> bool:
        """Whether tiles equal the whole picture: the one place where a network says so.

        Instance normalisation takes its statistics from all pixels of a tile, so that what is said
        of a pixel depends on where the tile ends; such tiles are blended.
        """
        return self.norm != "instance"

    @property
    def stride(self) -> tuple[int, ...]:
        """Product of all pooling factors per axis: tiles must start at its multiples."""
        return tuple(prod(factors) for factors in zip(*self.pools, strict=True))

    @property
    def margin_px(self) -> tuple[int, ...]:
        """Pixels lost at each end of each axis by valid convolutions."""
        return tuple((self._axis(1, a)[0] - self._axis(1, a)[1]) // 2 for a in range(self.ndim))

    def sizes_for(self, wanted: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Smallest valid (input, output) size in pixels whose output holds `wanted`."""
        pairs = [self._axis(n, axis) for axis, n in enumerate(wanted)]
        return tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level, and of the bottom."""
        return tuple(self.width * 2**level for level in range(len(self.kernels)))

    @property
    def parameters(self) -> int:
        """How many numbers training fits."""
        extra = 1 if self.norm == "none" else 2  # per channel: a bias, or scale and shift
        taps = [prod(kernel) for kernel in self.kernels]
        inputs = (self.in_channels, *self.widths)
        down = sum(
            k * w * (i + w) + 2 * extra * w
            for i, w, k in zip(inputs, self.widths, taps, strict=False)
        )
        up = sum(
            2 * w * w * prod(p) + w + k * w * (2 * w + w) + 2 * extra * w
            for w, p, k in zip(self.widths, self.pools, taps, strict=False)
        )
        return down + up + (self.width + 1) * self.classes

    def largest_map(self, output_px: tuple[int, ...]) -> int:
        """How many numbers the largest feature map of one tile holds; output_px: see sizes_for."""
        edges, _ = self.sizes_for(output_px)
        sizes = [self.in_channels * prod(edges)]
        for level, kernel in enumerate(self.kernels):
            edges = [n - k + 1 for n, k in zip(edges, kernel, strict=True)]
            sizes.append(self.widths[level] * prod(edges))
            edges = [n - k + 1 for n, k in zip(edges, kernel, strict=True)]
            if level < len(self.pools):
                edges = [n // p for n, p in zip(edges, self.pools[level], strict=True)]
        for level in reversed(range(len(self.pools))):
            edges = [n * p for n, p in zip(edges, self.pools[level], strict=True)]
            sizes.append(2 * self.widths[level] * prod(edges))  # beside the skip connection
            lost = [2 * (k - 1) for k in self.kernels[level]]
            edges = [n - m for n, m in zip(edges, lost, strict=True)]
        return max(sizes)

    def _axis(self, wanted: int, axis: int) -> tuple[int, int]:
        levels = [
            (p[axis], 2 * (k[axis] - 1)) for p, k in zip(self.pools, self.kernels[:-1], strict=True)
        ]
        bottom = wanted
        for factor, lost in levels:
            bottom = -(-(bottom + lost) // factor)
        output, source = bottom, bottom + 2 * (self.kernels[-1][axis] - 1)
        for factor, lost in reversed(levels):
            output = output * factor - lost
            source = source * factor + lost
        return source, output


def choose_levels(
    ndim: int, depth: int, spacing: tuple[float, ...]
) -> tuple[tuple[tuple[Pool, ...], ...], tuple[tuple[Kernel, ...], ...]]:
    """Pools and kernels of a network for pixels of the given edge lengths.

    An axis that is at least twice as coarse as the finest is neither pooled nor convolved until
    the others have caught up, so that the network sees about cubic voxels.
    """
    spacing = list(spacing[-ndim:])
    pools: list[tuple[Pool, ...]] = []
    kernels: list[tuple[Kernel, ...]] = []
    for _ in range(depth + 1):
        finest = min(spacing)
        fine = [s < 2 * finest for s in spacing]
        kernels.append(tuple(3 if f else 1 for f in fine))
        pools.append(tuple(2 if f else 1 for f in fine))
        spacing = [s * p for s, p in zip(spacing, pools[-1], strict=True)]
    return tuple(pools[:-1]), tuple(kernels)
