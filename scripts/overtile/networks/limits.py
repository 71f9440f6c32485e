"""How large a network may be: known from what was decided, before anything is built."""

from collections.abc import Sequence

from overtile.errors import InputError
from overtile.networks.family import AnyFamily, Decisions

MEMORY_BYTES = 141 * 10**9
"""Of the largest GPU that one network is trained on (NVIDIA H200)."""

MOST_PARAMETERS = MEMORY_BYTES // 16
"""Weight, gradient and Adam's two moments are float32 each. Width 64 may be 7 levels deep."""

LARGEST_MAP = MEMORY_BYTES // 8
"""Numbers in one float32 feature map: a layer has one before it and one behind it."""


def refuse_too_large(
    family: AnyFamily, decided: Decisions, output_px: Sequence[int], batch_tiles: int, where: str
) -> None:
    """Refuse a network or tiles that no GPU has room for.

    Parameters
    ----------
    family, decided
        The kind of network, and what it decided.
    output_px : sequence of int
        Edges of a tile's output in pixels, as the network can give them.
    batch_tiles : int
        Tiles per step of training.
    where : str
        The file that says so, for the message.

    Raises
    ------
    InputError
        One line, with what is allowed.
    """
    parameters = family.parameters(decided)
    if parameters > MOST_PARAMETERS:
        raise InputError(
            f"{where}: the network has {parameters:,} parameters as a "
            f"{family.describe(decided)}; allowed: {MOST_PARAMETERS:,}; lower width or depth"
        )
    largest = batch_tiles * family.largest_map(decided, output_px)
    if largest > LARGEST_MAP:
        raise InputError(
            f"{where}: tiles of {' x '.join(map(str, output_px))} px, {batch_tiles} at once, make "
            f"a map of {largest:,} numbers; allowed: {LARGEST_MAP:,}; lower the tile's edges, "
            "batch_tiles or width"
        )
