"""Content digests: the same pixels give the same digest, whatever wrote them."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cache
from math import prod
from pathlib import Path

import numpy as np


def digest_pixels(pixels: np.ndarray) -> str:
    """SHA-256 of shape, dtype and values, as hexadecimal text."""
    sha = hashlib.sha256(f"{pixels.shape}{pixels.dtype.str}".encode())
    sha.update(np.ascontiguousarray(pixels).data)
    return sha.hexdigest()


@cache
def digest_zeros(shape: Sequence[int], dtype: np.dtype) -> str:
    """`digest_pixels` of so many zeros, which take no memory."""
    sha = hashlib.sha256(f"{shape}{dtype.str}".encode())
    size, part = prod(shape) * dtype.itemsize, memoryview(bytes(2**20))
    for start in range(0, size, len(part)):
        sha.update(part[: size - start])
    return sha.hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes, read piece by piece."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(*parts: object) -> str:
    """SHA-256 of anything that JSON can hold: settings, names, other digests."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def sealed(values: dict) -> dict:
    """Values with a seal over all of them, `digest_of`, that tells whether one was changed."""
    return {**values, "seal": digest_of(values)}


def is_unchanged(values: dict) -> bool:
    """Whether values are those that were sealed; also where they never were."""
    rest = {name: value for name, value in values.items() if name != "seal"}
    return values.get("seal") in (None, digest_of(rest))


def digest_of_digests(digests: Iterable[str]) -> str:
    """SHA-256 over digests in their order."""
    sha = hashlib.sha256()
    for digest in digests:
        sha.update(digest.encode())
    return sha.hexdigest()
