"""OME-Zarr 0.5 metadata, built and checked with ome-zarr-models."""

import contextlib
import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from overtile.errors import InputError

if TYPE_CHECKING:
    from ome_zarr_models.v05.multiscales import Dataset

SPACE = ("z", "y", "x")


def multiscale_attributes(
    name: str,
    axes: Sequence[str],
    factors: Sequence[Sequence[int]],
    pixel_size_um: Sequence[float] | None,
    is_label: bool,
    source_image: str = "../../",
) -> dict:
    """The `ome` attribute of a picture or label pyramid.

    axes: of the arrays, last three z, y, x. factors: for each level, the (z, y, x) pixel edge as a
    multiple of level 0's. pixel_size_um: of level 0, or None where it is not known. source_image:
    the way from a label pyramid to its picture.
    Levels are block means, so that their origin lies (factor - 1) / 2 pixels further in.
    """
    from ome_zarr_models.v05.axes import Axis
    from ome_zarr_models.v05.image import ImageAttrs
    from ome_zarr_models.v05.image_label import ImageLabelAttrs
    from ome_zarr_models.v05.image_label_types import Label, Source
    from ome_zarr_models.v05.multiscales import Multiscale

    size = pixel_size_um or (1.0, 1.0, 1.0)
    unit = "micrometer" if pixel_size_um else None
    extra = len(axes) - len(SPACE)
    multiscale = Multiscale(
        name=name,
        axes=[
            Axis(name=a, type="space", unit=unit) if a in SPACE else Axis(name=a, type="channel")
            for a in axes
        ],
        datasets=tuple(_dataset(level, f, size, extra) for level, f in enumerate(factors)),
    )
    attributes: ImageAttrs | ImageLabelAttrs = ImageAttrs(version="0.5", multiscales=[multiscale])
    if is_label:
        label = {"image-label": Label(source=Source(image=source_image))}
        attributes = ImageLabelAttrs(version="0.5", multiscales=[multiscale], **label)
    return attributes.model_dump(mode="json", by_alias=True, exclude_none=True)


def _dataset(level: int, factors: Sequence[int], size: Sequence[float], extra: int) -> "Dataset":
    """One level of a pyramid. extra: number of axes before z, y and x."""
    from ome_zarr_models.v05.multiscales import Dataset

    edges = list(zip(factors, size, strict=True))
    return Dataset.build(
        path=str(level),
        scale=[1.0] * extra + [f * s for f, s in edges],
        translation=[0.0] * extra + [(f - 1) / 2 * s for f, s in edges],
    )


def list_labels(image_store: Path) -> None:
    """Write the list of finished label stores inside a picture's store, for viewers.

    To be called when one ends, and when one begins, as what was there is then gone. Class maps are
    not listed: NGFF 0.5 allows no labels inside labels.
    Jobs of several models may do so at once: a lock keeps each from losing another's entry.
    A zarr.json of somebody else, which is no such list, is left alone.
    """
    import fcntl

    from overtile.stores.files import write_json

    folder = Path(image_store) / "labels"
    if not _is_listing(folder / "zarr.json"):
        return
    with _open_lock(folder / ".lock") as lock:
        # ASSUME: where a file system has no locks (ENOLCK and the like), jobs of one slide seldom
        # end in the same moment; the next of them lists what this one missed.
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        found = sorted(root.parent.name for root in folder.glob("*/zarr.json"))
        write_json(
            folder / "zarr.json",
            {
                "zarr_format": 3,
                "node_type": "group",
                "attributes": {"ome": {"version": "0.5", "labels": found}},
            },
        )


def _open_lock(path: Path) -> BinaryIO:
    """A file to be locked, made if need be. Raises InputError for a link, which leads elsewhere."""
    try:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666), "rb+")
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise InputError(f"{path}: is a link; allowed: a file; delete it") from None


def _is_listing(path: Path) -> bool:
    """Whether a file is a list of labels, is not there yet, or is damaged in a picture of ours."""
    if not path.exists():
        return True
    try:
        return "labels" in json.loads(path.read_bytes())["attributes"]["ome"]
    except (KeyError, TypeError):
        return False
    except (ValueError, RecursionError):
        picture = path.parent.parent / "zarr.json"
        return picture.is_file() and b'"overtile"' in picture.read_bytes()
