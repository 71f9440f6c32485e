"""The root file of a store: written last, and sealed, so that whatever befell it is noticed."""

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from overtile.errors import InputError
from overtile.stores.digest import digest_of, digest_of_digests
from overtile.stores.journal import KINDS, recorded

ROOT = "zarr.json"

PARSE_ERRORS = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)
"""What reading metadata of any other form raises; not what a disk or a network does."""


@dataclass(frozen=True)
class Root:
    """What a root file says.

    ome: OME-Zarr metadata. own: what this project knows, first of all `holds` and `digest`.
    arrays: SHA-256 of each array's metadata file; None in stores that were written without a seal.
    """

    ome: dict
    own: dict
    arrays: dict[str, str] | None


def remedy(folder: Path) -> str:
    """What to do about a damaged store; a class map is made with the label store around it."""
    store = folder.parent if folder.name == "classes" else folder
    return f"copy the store again, or delete {store / ROOT} and make it again"


def sealed_root(ome: dict, own: dict, arrays: dict[str, str]) -> dict:
    """The content of a root file. The seal is a SHA-256 over all the rest."""
    root: dict = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {"ome": ome, "overtile": {**own, "arrays": arrays}},
    }
    root["attributes"]["overtile"]["seal"] = _seal(json.loads(json.dumps(root)))
    return root


def _seal(root: dict) -> str:
    own = {k: v for k, v in root["attributes"]["overtile"].items() if k != "seal"}
    rest = {**root, "attributes": {**root["attributes"], "overtile": own}}
    return digest_of(rest)


def read_root(folder: Path) -> Root:
    """Read and verify the root file of a store.

    Roots without a seal are held against the store's journal, as far as there is one. Raises
    InputError for a store that was never finished, is of somebody else, or is damaged.
    """
    content = _read_bytes(folder)
    try:
        document = json.loads(content)
        ome, own = document["attributes"]["ome"], dict(document["attributes"]["overtile"])
    except PARSE_ERRORS:
        raise InputError(
            f"{folder}: not a store of this project (no 'overtile' in {ROOT}), or damaged; make it "
            f"with scripts/ingest.py, or {remedy(folder)}"
        ) from None
    arrays, seal = own.pop("arrays", None), own.pop("seal", None)
    root = Root(ome, own, arrays)
    try:
        if seal is None and arrays is None:
            is_whole = _agrees_with_journal(folder, root)
        else:
            is_whole = seal == _seal(document)
        if is_whole:
            _check(root)
    except PARSE_ERRORS:
        is_whole = False
    if not is_whole:
        raise InputError(f"{folder}: its {ROOT} is damaged; {remedy(folder)}")
    if not _are_numbers(own.get("mean", [])) or not _are_numbers(own.get("std", [])):
        raise InputError(
            f"{folder}: mean or standard deviation of its pixels is not a number; "
            "replace NaN and infinite pixels in the raw picture and ingest it again"
        )
    return root


def _read_bytes(folder: Path) -> bytes:
    """The root file of a store; InputError where there is none, with what to do."""
    try:
        return (folder / ROOT).read_bytes()
    except NotADirectoryError:
        raise InputError(
            f"{folder}: is a file, not a store; make one with scripts/ingest.py"
        ) from None
    except FileNotFoundError:
        if folder.name == "classes" and (folder.parent / ROOT).exists():
            raise InputError(f"{folder}: its {ROOT} is lost; {remedy(folder)}") from None
        raise InputError(
            f"{folder}: no finished store here (its {ROOT} is missing); make it first"
        ) from None


def _agrees_with_journal(folder: Path, root: Root) -> bool:
    """Whether a root's digest is that of its attributes and of the pixels that a journal knows.

    Also if the journal does not know all blocks, and nothing can be said.
    """
    found = {
        tuple(map(int, place.split("."))): record["sha256"]
        for place, record in of_level(recorded(folder), "0").items()
    }
    edges = [max(axis) + 1 for axis in zip(*found, strict=True)]
    if not found or any(n not in found for n in itertools.product(*map(range, edges))):
        return True
    rest = {name: value for name, value in root.own.items() if name != "digest"}
    pixels = digest_of_digests(found[place] for place in sorted(found))
    return root.own["digest"] == digest_of_digests([pixels, repr(root.ome), repr(rest)])


def of_level(records: dict[str, dict], level: str) -> dict[str, dict]:
    """The records of one array, by the place of the block as z.y.x."""
    prefix = f"{level}/"
    return {k.removeprefix(prefix): v for k, v in records.items() if k.startswith(prefix)}


def _check(root: Root) -> None:
    """Raise one of PARSE_ERRORS for a form that no store has."""
    datasets = root.ome["multiscales"][0]["datasets"]
    paths = [dataset["path"] for dataset in datasets]
    size, own = root.own.get("pixel_size_um"), root.own
    mean, std = own.get("mean", []), own.get("std", [])
    is_odd = (
        not paths
        or paths != [str(number) for number in range(len(paths))]
        or own["holds"] not in KINDS
        or not isinstance(own["digest"], str)
        or not (size is None or (len(size) == 3 and _are_numbers(size) and min(size) > 0))
        or not all(isinstance(value, float | int) for value in (*mean, *std))
        or len(mean) != len(std)
        or (own["holds"] == "picture" and not mean)
        or not (root.arrays is None or set(paths) <= set(root.arrays))
    )
    if is_odd:
        raise ValueError


def _are_numbers(values: Sequence[float]) -> bool:
    return all(math.isfinite(value) for value in values)
