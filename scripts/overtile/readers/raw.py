"""One view of every raw format: (c, z, y, x) pixels that are read box by box."""

import struct
import zlib
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from overtile.errors import InputError

MAX_WHOLE_BYTES = 2**30
"""Largest piece that is decoded at once: a PNG, a TIFF strip, a compressed NIfTI. 1 GiB."""

# What third-party decoders raise on damaged files; each was seen on real damaged pictures.
DECODER_ERRORS: tuple[type[Exception], ...] = (
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    EOFError,
    OSError,
    struct.error,
    zlib.error,
)


Order = tuple[int | None, int | None, int | None, int | None]
"""Which axis of a file holds c, z, y and x; None where it has no such axis."""


class FileArray(Protocol):
    """Pixels of a file, as its library gives them: read where they are indexed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """In the file's own axis order, px."""

    @property
    def dtype(self) -> np.dtype:
        """As stored."""

    def __getitem__(self, index: Any, /) -> Any:
        """The pixels of a tuple of slices."""


@dataclass
class RawImage:
    """A raw picture or volume.

    shape: (c, z, y, x). pixel_size_um: (z, y, x) or None where the file does not say.
    array: indexed by slices in the file's own axis order. has_palette: values are indices into a
    colour table, fit for labels only. channels_kept: those after them are transparency, left out.
    """

    path: Path
    array: FileArray
    order: Order
    pixel_size_um: tuple[float, float, float] | None
    channels: list[str] | None = None
    has_palette: bool = False
    channels_kept: int | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(c, z, y, x) in pixels."""
        c, z, y, x = (1 if axis is None else self.array.shape[axis] for axis in self.order)
        return min(c, self.channels_kept or c), z, y, x

    @property
    def dtype(self) -> np.dtype:
        """The dtype of stored pixels, in native byte order."""
        dtype = np.dtype(self.array.dtype).newbyteorder("=")
        return np.dtype(np.uint8) if dtype == np.dtype(bool) else dtype

    def read(self, box: Sequence[slice]) -> np.ndarray:
        """Read a (z, y, x) box of all channels; raise InputError where the file is damaged."""
        index: list[slice] = [slice(None)] * len(self.array.shape)
        for axis, bounds in zip(self.order[1:], box, strict=True):
            if axis is not None:
                index[axis] = bounds
        with refuse_damage(self.path):
            pixels = np.asarray(self.array[tuple(index)])
        kept = [axis for axis in self.order if axis is not None]
        extra = [axis for axis in range(pixels.ndim) if axis not in kept]
        pixels = pixels.transpose(extra + kept)[(0,) * len(extra)]
        missing = [i for i, axis in enumerate(self.order) if axis is None]
        pixels = np.expand_dims(pixels, tuple(missing))[: self.channels_kept]
        return pixels.astype(self.dtype, copy=False)


@contextmanager
def refuse_damage(path: Path, more: tuple[type[Exception], ...] = ()):
    """Turn whatever a decoder raises on a damaged file into one line for the user.

    more: exceptions of one library, beside `DECODER_ERRORS`.
    """
    try:
        yield
    except InputError:
        raise
    except DECODER_ERRORS + more as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"{path}: cannot be read ({reason}); check the file, or export it again"
        ) from error


def refuse_empty(path: Path, shape: Sequence[int]) -> None:
    """Some readers open damaged files as pictures without pixels: refuse those."""
    if 0 in shape:
        raise InputError(
            f"{path}: has {'x'.join(map(str, shape))} pixels, so it is damaged; "
            "check the file, or export it again"
        )


def refuse_large(path: Path, nbytes: int, what: str, remedy: str) -> None:
    """Refuse what can only be decoded whole and would not fit."""
    if nbytes > MAX_WHOLE_BYTES:
        raise InputError(
            f"{path}: {what} holds {nbytes / 2**30:.1f} GiB and can only be decoded whole; "
            f"allowed: {MAX_WHOLE_BYTES / 2**30:.0f} GiB; {remedy}"
        )
