"""Export: outlines that QuPath reads, label TIFFs, and refusals."""

import json
import shutil
from uuid import UUID

import jsonschema
import numpy as np
import pytest
import tifffile
from skimage.draw import polygon2mask

from overtile.stores.store import Store

RING = {
    "type": "array",
    "minItems": 5,
    "items": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
}
POLYGON = {"type": "array", "minItems": 1, "items": RING}
COLOUR = {"type": "array", "minItems": 3, "maxItems": 3, "items": {"type": "integer"}}


def strict(**properties) -> dict:
    """Schema of an object with these properties, all of them needed."""
    names = list(properties)
    return {
        "type": "object",
        "properties": properties,
        "required": names,
        "additionalProperties": False,
    }


PLANE = strict(c={"const": -1}, z={"type": "integer", "minimum": 0}, t={"const": 0})
GEOMETRY = {
    "oneOf": [
        strict(type={"const": "Polygon"}, coordinates=POLYGON),
        strict(
            type={"const": "MultiPolygon"},
            coordinates={"type": "array", "minItems": 2, "items": POLYGON},
        ),
    ]
}
IN_PLANE = {
    "oneOf": [
        {
            **shape,
            "properties": {**shape["properties"], "plane": PLANE},
            "required": [*shape["required"], "plane"],
        }
        for shape in GEOMETRY["oneOf"]
    ]
}


def schema(geometry) -> dict:
    """What QuPath 0.4 and later write and read, as far as it is used here."""
    properties = strict(
        objectType={"const": "detection"},
        classification=strict(name={"type": "string"}, color=COLOUR),
        measurements={"type": "object", "additionalProperties": {"type": "number"}},
    )
    feature = strict(
        type={"const": "Feature"},
        id={"type": "string"},
        geometry=geometry,
        properties=properties,
    )
    return strict(type={"const": "FeatureCollection"}, features={"type": "array", "items": feature})


def features_of(path, geometry=GEOMETRY) -> list[dict]:
    """The features of a file that is as it should be, with ids that are UUIDs and all differ."""
    collection = json.loads(path.read_text(encoding="ascii"))
    jsonschema.validate(collection, schema(geometry))
    ids = [str(UUID(feature["id"])) for feature in collection["features"]]
    assert len(set(ids)) == len(ids)
    return collection["features"]


def painted(features, shape) -> np.ndarray:
    """Object ids from outlines, (y, x), each pixel by its centre."""
    picture = np.zeros(shape, np.int64)
    for feature in features:
        geometry, known = feature["geometry"], feature["properties"]["measurements"]
        several = geometry["type"] == "MultiPolygon"
        mask = np.zeros(shape, bool)
        for rings in geometry["coordinates"] if several else [geometry["coordinates"]]:
            for ring in rings:
                mask ^= polygon2mask(shape, np.array(ring)[:, ::-1] - 0.5)
        assert mask.sum() == known["Area px^2"] and not picture[mask].any()
        picture[mask] = known["Object ID"]
    return picture


@pytest.fixture(scope="module")
def labels(archive):
    """A label store of an EM slice: cells with holes that touch its border."""
    return archive / "a.ome.zarr" / "labels" / "reference"


def test_outlines_of_a_store_paint_its_objects_again(done, labels, tmp_path):
    done("export", "--segmentation", labels, "--geojson", tmp_path / "o.geojson")
    store = Store.open(labels)
    found = features_of(tmp_path / "o.geojson")
    assert len(found) == store.attributes["objects"] > 20
    np.testing.assert_array_equal(painted(found, store.shape[1:]), store.array[0])
    classes = {json.dumps(feature["properties"]["classification"]) for feature in found}
    assert classes == {'{"name": "cell", "color": [0, 114, 178]}'}
    assert any(len(feature["geometry"]["coordinates"]) > 1 for feature in found)


def test_real_nuclei_of_a_plain_picture_become_outlines_and_a_tiff(done, data, tmp_path):
    path = data / "nuclei_dsb2018" / "fluo" / "label" / "04acab7636c4.tif"
    outputs = ("--geojson", tmp_path / "o.geojson", "--tiff", tmp_path / "o.tif")
    done("export", "--segmentation", path, *outputs)
    nuclei = tifffile.imread(path)
    found = features_of(tmp_path / "o.geojson")
    np.testing.assert_array_equal(painted(found, nuclei.shape), nuclei)
    assert not any("Area µm^2" in feature["properties"]["measurements"] for feature in found)
    written = tifffile.imread(tmp_path / "o.tif")
    assert written.dtype == np.uint32
    np.testing.assert_array_equal(written, nuclei)


def store_of(done, labels, folder, *flags) -> Store:
    """A label store of an array."""
    tifffile.imwrite(folder / "l.tif", labels, photometric="minisblack")
    target = folder / "l.ome.zarr"
    done("ingest", "--labels", folder / "l.tif", "--store", target, *flags)
    return Store.open(target)


def test_a_volume_has_a_feature_per_object_and_plane(done, tmp_path):
    labels = np.zeros((3, 4, 5), np.uint8)
    labels[0, 1:3, 1:3] = labels[1, 0, 0] = labels[1, 2, 2:] = 7
    labels[1:, 3, 4] = 9
    size = ("--pixel-size-um", 2, 0.5, 0.25)
    store = store_of(done, labels, tmp_path, "--kind", "instances", *size)
    done("export", "--segmentation", store.path, "--geojson", tmp_path / "o.geojson")
    found = features_of(tmp_path / "o.geojson", IN_PLANE)
    planes = [feature["geometry"]["plane"]["z"] for feature in found]
    for z, plane in enumerate(labels):
        own = [feature for feature, at in zip(found, planes, strict=True) if at == z]
        np.testing.assert_array_equal(painted(own, plane.shape), plane)
    known = [feature["properties"]["measurements"] for feature in found]
    assert known[0] == {
        "Object ID": 7,
        "Area px^2": 4,
        "Area µm^2": 0.5,
        "Volume px^3": 8,
        "Volume µm^3": 2.0,
    }
    assert [feature["geometry"]["type"] for feature in found].count("MultiPolygon") == 1


def test_names_from_outside_are_escaped(done, tmp_path):
    name = 'a "b"\\</script>\u2028é'
    semantic = ("--kind", "semantic", "--classes", "none", name, "c")
    store = store_of(done, np.array([[1, 0, 2]], np.uint8), tmp_path, *semantic)
    done("export", "--segmentation", store.path, "--geojson", tmp_path / "o.geojson")
    found = features_of(tmp_path / "o.geojson")
    classes = [feature["properties"]["classification"] for feature in found]
    assert [known["name"] for known in classes] == [name, "c"]
    assert classes[0]["color"] != classes[1]["color"]


def test_the_same_labels_give_the_same_bytes(done, done_cold, labels, tmp_path):
    for name, run in {"a": done, "b": done_cold}.items():
        outputs = ("--geojson", tmp_path / f"{name}.geojson", "--tiff", tmp_path / f"{name}.tif")
        run("export", "--segmentation", labels, *outputs)
    for ending in ("geojson", "tif"):
        one, two = ((tmp_path / f"{run}.{ending}").read_bytes() for run in "ab")
        assert one == two
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("kind", ["instances", "binary"])
def test_a_slide_without_objects_has_no_features_and_an_empty_tiff(done, tmp_path, kind):
    tifffile.imwrite(tmp_path / "l.tif", np.zeros((20, 30), np.uint8))
    outputs = ("--geojson", tmp_path / "o.geojson", "--tiff", tmp_path / "o.tif")
    done("export", "--segmentation", tmp_path / "l.tif", "--kind", kind, *outputs)
    assert features_of(tmp_path / "o.geojson") == []
    assert not tifffile.imread(tmp_path / "o.tif").any()


@pytest.mark.parametrize("what", ["objects", "classes"])
@pytest.mark.parametrize("shape", [(1, 700, 1100), (1, 3, 4), (18, 140, 3), (3, 5, 600)])
def test_a_tiff_is_tiled_and_compressed_and_reads_back_equal(done, tmp_path, shape, what):
    labels = np.random.default_rng(0).integers(0, 5, shape).astype(np.uint8)
    size = ("--pixel-size-um", 2, 0.5, 0.25)
    classes = ("--classes", *"abcde")
    store = store_of(done, labels, tmp_path, "--kind", "semantic", *classes, *size)
    done("export", "--segmentation", store.path, "--tiff", tmp_path / "o.tif", "--what", what)
    expected = (store if what == "objects" else store.label_classes()).array[:]
    with tifffile.TiffFile(tmp_path / "o.tif") as file:
        page, (series,) = file.pages[0], file.series
        assert file.is_bigtiff and file.is_ome and page.is_tiled
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert series.axes == ("YX" if shape[0] == 1 else "ZYX")
        known = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
        assert page.tags["XResolution"].value == (40000, 1)
        written = series.asarray()
    assert (known["PhysicalSizeY"], known["PhysicalSizeX"]) == (0.5, 0.25)
    assert known["PhysicalSizeXUnit"] == "µm"
    assert known.get("PhysicalSizeZ") == (2 if shape[0] > 1 else None)
    assert written.dtype == (np.uint32 if what == "objects" else np.uint8)
    np.testing.assert_array_equal(written.reshape(shape), expected)


@pytest.mark.parametrize(
    ("shape", "size", "levels"),
    [
        ((1, 700, 1100), (2, 0.5, 0.5), 4),
        ((3, 600, 70), (2, 0.5, 0.5), 3),
        ((40, 40, 1100), (2, 0.5, 0.5), 3),
    ],
)
def test_a_tiff_has_the_smaller_copies_of_its_store_as_far_as_they_have_all_planes(
    done, tmp_path, shape, size, levels
):
    labels = np.random.default_rng(0).integers(0, 5, shape).astype(np.uint8)
    flags = ("--kind", "instances", "--pixel-size-um", *size)
    store = store_of(done, labels, tmp_path, *flags)
    done("export", "--segmentation", store.path, "--tiff", tmp_path / "o.tif")
    with tifffile.TiffFile(tmp_path / "o.tif") as file:
        assert len(file.pages) == shape[0]
        (series,) = file.series
        written = [level.asarray() for level in series.levels]
    assert len(written) == levels
    for number, level in enumerate(written):
        stored = store.level(number)[:]
        np.testing.assert_array_equal(level.reshape(stored.shape), stored)


def test_without_a_file_to_write_there_is_one_line(step, labels, tmp_path):
    result = step("export", "--segmentation", labels, cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "export.py: --geojson, --tiff: all are missing; give at least one"
    ]


@pytest.mark.parametrize("name", ["l.ome.zarr", "l.tif"])
def test_ids_that_no_ome_tiff_holds_are_refused_and_nothing_is_left(done, step, tmp_path, name):
    labels = np.array([[1, 2**32 + 3]], np.uint64)
    store_of(done, labels, tmp_path, "--kind", "instances")
    before = sorted(tmp_path.iterdir())
    result = step("export", "--segmentation", tmp_path / name, "--tiff", tmp_path / "o.tif")
    assert result.returncode == 1
    assert (
        f"{tmp_path / name}: has id 4294967299; allowed in OME-TIFF: up to 4294967295"
        in result.stderr
    )
    assert len(result.stderr.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", [".", "classes"])
def test_lost_labels_and_classes_are_one_line_and_nothing_is_left(step, labels, tmp_path, name):
    spoilt = shutil.copytree(labels, tmp_path / "labels")
    (spoilt / name / "0" / "c" / "0" / "0" / "0").unlink()
    result = step("export", "--segmentation", spoilt, "--tiff", tmp_path / "o.tif")
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert f"{spoilt / name}: its file 0/c/0/0/0 is lost" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["labels"]
