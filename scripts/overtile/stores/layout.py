"""How a picture is cut into chunks (what is compressed) and shards (files, and units of work)."""

from collections.abc import Sequence
from math import ceil, prod

from overtile.geometry.spans import halve

PICTURE_CHUNK = (1, 256, 256)
VOLUME_CHUNK = (16, 128, 128)
PICTURE_SHARD = (1, 1024, 1024)
VOLUME_SHARD = (32, 256, 256)
MAX_SHARDS = 256
SMALLEST_LEVEL_PX = 256


def chunk_and_shard(
    shape: Sequence[int], scale: int = 1
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Chunk and shard of a (z, y, x) shape, in pixels.

    A shard is a whole number of chunks, no larger than the picture needs. It grows with the
    picture, so that no level of a slide makes more than 256 files. scale: factor for the edges of
    the smallest shard, for steps that need large units of work. There may be scale^2 times as many
    files.
    """
    is_picture = shape[0] == 1
    chunk = PICTURE_CHUNK if is_picture else VOLUME_CHUNK
    axes = [1, 2] if is_picture else [0, 1, 2]
    shard = list(PICTURE_SHARD if is_picture else VOLUME_SHARD)
    for axis in axes:
        shard[axis] *= scale
    while prod(halve(shape, shard)) > MAX_SHARDS * scale**2:
        for axis in axes:
            shard[axis] *= 2
    fitted_chunk = tuple(min(c, n) for c, n in zip(chunk, shape, strict=True))
    fitted_shard = tuple(
        min(s // c, ceil(n / c)) * c for s, c, n in zip(shard, fitted_chunk, shape, strict=True)
    )
    return fitted_chunk, fitted_shard


def pyramid_factors(
    shape: Sequence[int], pixel_size: Sequence[float]
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Levels below the full picture: for each, (factors from the level above, shape).

    An axis is halved where it is long enough and its pixel edge is below twice the finest of those
    long enough in y and x; levels end when the picture fits into 256 px.
    """
    levels = []
    shape, size = tuple(shape), list(pixel_size)
    while max(shape[1:]) > SMALLEST_LEVEL_PX:
        is_long = [n > SMALLEST_LEVEL_PX // 8 for n in shape]
        finest = min(s for s, long in zip(size[1:], is_long[1:], strict=True) if long)
        factors = tuple(
            2 if s < 2 * finest and long else 1 for s, long in zip(size, is_long, strict=True)
        )
        shape = halve(shape, factors)
        size = [s * f for s, f in zip(size, factors, strict=True)]
        levels.append((factors, shape))
    return levels
