"""How large a U-Net is: its parameters, its maps, and the memory of a pass. No torch here."""

from collections.abc import Sequence
from math import prod

from overtile.networks.unet.family import Architecture


def pass_bytes(architecture: Architecture, tile_px: Sequence[int], value_bytes: int) -> int:
    """The most that the maps of one tile take at once in a forward pass, in bytes.

    value_bytes: 4 for fp32, 2 for bf16. Each layer holds its input, its output, the skip
    connections so far, and a copy of its kernels in the order that the processor's library wants.
    """
    a = architecture
    size, _ = a.geometry.sizes_for(tile_px)
    channels, peaks = a.in_channels, [0]
    skips: list[int] = []

    def convolve(width: int, kernel: Sequence[int]) -> None:
        nonlocal channels, size
        less = tuple(n - k + 1 for n, k in zip(size, kernel, strict=True))
        kernels = channels * width * prod(kernel)
        peaks.append(sum(skips) + channels * prod(size) + width * prod(less) + kernels)
        if a.norm == "instance":  # which copies what it sees into another order, twice in 2D
            peaks.append(sum(skips) + (6 - a.ndim) * width * prod(less))
        channels, size = width, less

    for level, (width, kernel) in enumerate(zip(a.widths, a.kernels, strict=True)):
        convolve(width, kernel)
        convolve(width, kernel)
        if level < len(a.pools):
            skips.append(width * prod(size))
            size = tuple(n // p for n, p in zip(size, a.pools[level], strict=True))
            indices = 8 // value_bytes if a.ndim == 2 else 0  # of the maxima, which torch keeps
            peaks.append(sum(skips) + (1 + indices) * width * prod(size))
    for level in reversed(range(len(a.pools))):
        width, factors = a.widths[level], a.pools[level]
        grown = tuple(n * p for n, p in zip(size, factors, strict=True))
        kernels = channels * width * prod(factors)
        peaks.append(sum(skips) + channels * prod(size) + width * prod(grown) + kernels)
        peaks.append(sum(skips) + 3 * width * prod(grown))  # joined with the skip connection
        skips.pop()
        channels, size = 2 * width, grown
        convolve(width, a.kernels[level])
        convolve(width, a.kernels[level])
    return max(peaks) * value_bytes


def largest_map(architecture: Architecture, output_px: Sequence[int]) -> int:
    """How many numbers the largest feature map of one tile holds."""
    a = architecture
    edges, _ = a.geometry.sizes_for(output_px)
    sizes = [a.in_channels * prod(edges)]
    for level, kernel in enumerate(a.kernels):
        edges = _less(edges, kernel, 1)
        sizes.append(a.widths[level] * prod(edges))
        edges = _less(edges, kernel, 1)
        if level < len(a.pools):
            edges = tuple(n // p for n, p in zip(edges, a.pools[level], strict=True))
    for level in reversed(range(len(a.pools))):
        edges = tuple(n * p for n, p in zip(edges, a.pools[level], strict=True))
        sizes.append(2 * a.widths[level] * prod(edges))  # beside the skip connection
        edges = _less(edges, a.kernels[level], 2)
    return max(sizes)


def _less(edges: Sequence[int], kernel: Sequence[int], convolutions: int) -> tuple[int, ...]:
    """Edges of a map after some valid convolutions."""
    return tuple(n - convolutions * (k - 1) for n, k in zip(edges, kernel, strict=True))


def weight_bytes(architecture: Architecture, value_bytes: int) -> int:
    """Bytes of the kernels of one network."""
    a = architecture
    inputs = (a.in_channels, *a.widths)
    pairs = zip(inputs[:-1], inputs[1:], a.kernels, strict=True)
    down = sum((i * o + o * o) * prod(k) for i, o, k in pairs)
    steps = zip(a.widths[:-1], a.pools, a.kernels[:-1], strict=True)
    up = sum(2 * w * w * prod(p) + 3 * w * w * prod(k) for w, p, k in steps)
    return (down + up) * value_bytes


def count_parameters(architecture: Architecture) -> int:
    """How many numbers training fits."""
    a = architecture
    extra = 1 if a.norm == "none" else 2  # per channel: a bias, or scale and shift
    taps = [prod(kernel) for kernel in a.kernels]
    inputs = (a.in_channels, *a.widths)
    down = sum(
        k * w * (i + w) + 2 * extra * w for i, w, k in zip(inputs, a.widths, taps, strict=False)
    )
    up = sum(
        2 * w * w * prod(p) + w + k * w * (2 * w + w) + 2 * extra * w
        for w, p, k in zip(a.widths, a.pools, taps, strict=False)
    )
    return down + up + (a.width + 1) * a.classes
