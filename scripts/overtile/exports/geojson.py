"""Outlines of objects as GeoJSON that QuPath opens."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid5

import numpy as np

from overtile.exports.outlines import outline_objects
from overtile.geometry.polygons import Polygons
from overtile.objects.measurements import Objects, measure_objects
from overtile.stores.files import replace_when_done
from overtile.stores.store import Store

NAMESPACE = UUID("7d0c8a52-9b0f-4d5e-8a44-3f2f1c5f6b61")
COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0))
"""Of foreground classes, to be told apart by everyone: Okabe and Ito, "Color universal design"."""


def write_geojson(labels: Store, path: Path, what: str = "objects") -> None:
    """Write the objects of a label store as a GeoJSON FeatureCollection.

    what: objects in any case, as only they have outlines; formats that hold pixels know classes.

    A picture's object is one feature; a volume's one per plane, as QuPath keeps them. Geometries
    are `Polygons` in full-resolution pixels, x before y, a MultiPolygon if there are several
    pieces. Features are detections with class, colour and measurements, and an id that follows
    from the labels' digest. They are sorted by id within what a block finishes. Memory: see
    `measure_objects` and `outline_objects`.

    Source: RFC 7946; foreign members as QuPath 0.4 and later write and read them
    (qupath.lib.io.QuPathTypeAdapters, ROITypeAdapters).
    """
    objects = measure_objects(labels)
    separator = "\n"
    with replace_when_done(path) as temporary, open(temporary, "w", encoding="ascii") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for polygons in outline_objects(labels, objects):
            for feature in _features(objects, polygons):
                file.write(separator + json.dumps(feature))
                separator = ",\n"
        file.write("\n]}\n")


def _features(objects: Objects, polygons: Polygons) -> Iterator[dict]:
    heads = polygons.groups[:-1]
    ids, planes = polygons.owners[heads], polygons.planes[heads].tolist()
    areas = np.add.reduceat(polygons.areas_px, heads).tolist() if len(heads) else []
    rows = objects.rows(ids).tolist()
    for group, (own, row) in enumerate(zip(ids.tolist(), rows, strict=True)):
        geometry = _geometry(polygons.rings(group))
        name = f"{objects.digest}/{own}"
        if objects.is_volume:
            geometry["plane"] = {"c": -1, "z": planes[group], "t": 0}
            name += f"/{planes[group]}"
        yield {
            "type": "Feature",
            "id": str(uuid5(NAMESPACE, name)),
            "geometry": geometry,
            "properties": {
                "objectType": "detection",
                "classification": _classification(objects, row),
                "measurements": _measurements(objects, row, own, areas[group]),
            },
        }


def _geometry(rings: list) -> dict[str, object]:
    """rings: of each piece of an object, its outline and its holes."""
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings[0]}
    return {"type": "MultiPolygon", "coordinates": rings}


def _classification(objects: Objects, row: int) -> dict:
    number = int(objects.sums.classes[row])
    colour = COLOURS[(number - 1) % len(COLOURS)]
    return {"name": objects.class_names[number], "color": list(colour)}


def _measurements(objects: Objects, row: int, own: int, area_px: int) -> dict[str, float]:
    """Numbers by name: of the outline, and in a volume of the whole object too."""
    size = objects.pixel_size_um
    found: dict[str, float] = {"Object ID": own, "Area px^2": area_px}
    if size:
        found["Area µm^2"] = area_px * size[1] * size[2]
    if objects.is_volume:
        volume = int(objects.sums.area_px[row])
        found["Volume px^3"] = volume
        if size:
            found["Volume µm^3"] = volume * size[0] * size[1] * size[2]
    return found
