"""Objects are measured as defined, the same to the last byte whatever the blocks are."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from skimage.measure import regionprops

from overtile.errors import InputError
from overtile.exports import table as table_module
from overtile.exports.table import write_table
from overtile.geometry.object_sums import ObjectSums
from overtile.ingest.references import write_reference
from overtile.objects import measurements
from overtile.objects.measurements import measure_objects
from overtile.readers.raw import RawImage
from overtile.stores import layout
from overtile.stores.labels import write_component_store
from overtile.stores.ngff import multiscale_attributes
from overtile.stores.store import Store
from overtile.stores.writer import StoreWriter
from tests.examples import examples
from tests.unit import naive

BLOCKS = [(1, 1, 1), (1, 3, 4), (2, 5, 2), (3, 4, 7)]
NAMES = ["background", "cell"]


def reference(labels, folder, size=None, kind="instances", names=NAMES, values=(0, 1)) -> Store:
    """A label store of labels (z, y, x)."""
    raw = RawImage(Path("made.tif"), labels[None], (0, 1, 2, 3), None)
    write_reference(raw, folder, "k", kind, names, values, None, size)
    return Store.open(folder)


def probabilities(values, folder, names=NAMES) -> Store:
    """A probability store of uint8 values (c, z, y, x)."""
    axes = ("c", "z", "y", "x")
    writer = StoreWriter(folder, "k", "probabilities")
    writer.add_array("0", values.shape, np.uint8, axes)
    writer.fill("0", lambda block: (values[(..., *block.slices)], {}), label="values")
    ome = multiscale_attributes("p", axes, [(1, 1, 1)], None, is_label=False)
    writer.commit(ome, pixel_size_um=None, class_names=list(names), scale=1 / 255)
    return Store.open(folder)


def use_blocks(patch, block):
    patch.setattr(measurements, "BLOCK", {"picture": (1, *block[1:]), "volume": block})


def table(store, folder, values=None, slide="") -> pa.Table:
    write_table(folder / "o.parquet", measure_objects(store, values), slide)
    return pq.read_table(folder / "o.parquet")


def assert_as_scikit_image_measures(found: pa.Table, labels: np.ndarray, size=None):
    """Every column but class and probability, of labels (z, y, x)."""
    is_volume = len(labels) > 1
    axes, extent = ("zyx", "volume") if is_volume else ("yx", "area")
    pixels = labels if is_volume else labels[0]
    n = len(axes)
    regions = regionprops(pixels)
    rows = found.to_pylist()
    assert [row["id"] for row in rows] == [region.label for region in regions]
    for row, region in zip(rows, regions, strict=True):
        assert row[f"{extent}_px"] == np.count_nonzero(pixels == region.label)
        box = [row[f"{a}{end}_px"] for end in (0, 1) for a in axes]
        assert tuple(box) == tuple(region.bbox)
        centre = [row[f"centroid_{a}_px"] for a in axes]
        assert centre == pytest.approx(region.centroid, rel=1e-12)
        touches = any(
            low == 0 or high == length
            for low, high, length in zip(box[:n], box[n:], pixels.shape, strict=True)
        )
        assert row["touches_border"] is touches
        unit = "um3" if is_volume else "um2"
        if size is None:
            assert row[f"{extent}_{unit}"] is None
            assert row["centroid_x_um"] is None and row["x0_um"] is None
        else:
            edges = size[-n:]
            assert row[f"{extent}_{unit}"] == pytest.approx(region.area * np.prod(edges))
            in_um = [row[f"centroid_{a}_um"] for a in axes]
            assert in_um == pytest.approx([c * e for c, e in zip(centre, edges, strict=True)])
            box_um = [row[f"{a}{end}_um"] for end in (0, 1) for a in axes]
            expected = [p * e for p, e in zip(region.bbox, (*edges, *edges), strict=True)]
            assert box_um == pytest.approx(expected)


pictures = naive.labels([(1,), (1, 2, 9, 14), (1, 3, 10, 15)], 6)
volumes = naive.labels([(2, 3, 5), (1, 4, 7), (1, 5, 9)], 6)


@given(
    st.one_of(pictures, volumes),
    st.sampled_from(BLOCKS),
    st.sampled_from([None, (2.0, 0.5, 0.25)]),
    st.booleans(),
    st.integers(0, 99),
)
@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_tables_are_right_and_have_the_same_bytes_whatever_the_blocks(
    tmp_path_factory, monkeypatch, labels, block, size, has_values, seed
):
    folder = tmp_path_factory.mktemp("o")
    store, values = reference(labels, folder / "r", size), None
    if has_values:
        random = np.random.default_rng(seed)
        values = probabilities(random.integers(0, 256, (2, *labels.shape)), folder / "p")
    found = table(store, folder, values)
    whole = (folder / "o.parquet").read_bytes()
    assert_as_scikit_image_measures(found, labels, size)
    with monkeypatch.context() as patch:
        use_blocks(patch, block)
        table(store, folder, values)
    assert (folder / "o.parquet").read_bytes() == whole
    expected = [None] * len(found)
    if has_values:
        own = values.array[1]
        expected = [own[labels == i].mean() / 255 for i in found["id"].to_pylist()]
    assert found["mean_probability"].to_pylist() == pytest.approx(expected)


def test_a_picture_has_no_z_and_a_volume_has():
    def names(shape):
        axes = 3 if shape[0] > 1 else 2
        sums = ObjectSums.zeros(0, axes, False)
        empty = np.zeros(0, np.uint32)
        objects = measurements.Objects(empty, axes == 3, sums, shape, None, ("a",), None, "")
        return list(objects.columns(0, 0))

    assert names((1, 5, 5)) == [
        *("id", "class", "area_px", "area_um2"),
        *("centroid_y_px", "centroid_x_px", "centroid_y_um", "centroid_x_um"),
        *("y0_px", "x0_px", "y1_px", "x1_px", "y0_um", "x0_um", "y1_um", "x1_um"),
        *("mean_probability", "touches_border"),
    ]
    assert names((2, 5, 5)) == [
        *("id", "class", "volume_px", "volume_um3"),
        *("centroid_z_px", "centroid_y_px", "centroid_x_px"),
        *("centroid_z_um", "centroid_y_um", "centroid_x_um"),
        *("z0_px", "y0_px", "x0_px", "z1_px", "y1_px", "x1_px"),
        *("z0_um", "y0_um", "x0_um", "z1_um", "y1_um", "x1_um"),
        *("mean_probability", "touches_border"),
    ]


@pytest.mark.parametrize("large", [9, 2**32 - 1, 2**32 + 1, 2**63 + 5])
def test_ids_with_gaps_and_large_ones_keep_their_numbers(tmp_path, monkeypatch, large):
    labels = np.array([[[3, 3, 0, large], [0, large, large, 8]]], dtype=np.uint64)
    whole = table(reference(labels, tmp_path / "r"), tmp_path)
    use_blocks(monkeypatch, (1, 1, 3))
    found = table(Store.open(tmp_path / "r"), tmp_path)
    assert found.equals(whole)
    by_id = {row["id"]: row for row in found.to_pylist()}
    assert list(by_id) == sorted({3, 8, large})
    assert [by_id[i]["area_px"] for i in (3, 8, large)] == [2, 1, 3]
    assert by_id[large]["centroid_x_px"] == 2
    assert found.schema.field("id").type == pa.uint64()


def test_an_object_takes_the_probability_and_the_name_of_its_own_class(tmp_path):
    names = ["background", "axon", "myelin"]
    classes = np.array([[[1, 1, 0, 2], [0, 0, 0, 2]]], dtype=np.uint8)
    store = reference(classes, tmp_path / "r", None, "semantic", names, (0, 1, 2))
    values = np.zeros((3, 1, 2, 4), dtype=np.uint8)
    values[0], values[1], values[2] = 1, 100, 200
    values[2, 0, 1, 3] = 255
    found = table(store, tmp_path, probabilities(values, tmp_path / "p", names))
    assert found["class"].to_pylist() == ["axon", "myelin"]
    assert pa.types.is_dictionary(found.schema.field("class").type)
    assert found["mean_probability"].to_pylist() == pytest.approx([100 / 255, 227.5 / 255])
    assert found.schema.field("id").type == pa.uint32()


def test_sums_stay_whole_numbers_far_from_the_origin():
    sums = ObjectSums.zeros(1, 3, True)
    ones = np.ones((1, 1, 5), np.uint32)
    start = (10**6, 2 * 10**9, 2 * 10**9 - 7)
    for _ in range(1000):
        sums.add(ones, None, ones.astype(np.uint8), np.full((2, 1, 1, 5), 255, np.uint8), start)
    places = [5 * start[0], 5 * start[1], sum(start[2] + i for i in range(5))]
    assert sums.place_sums[:, 0].tolist() == [1000 * place for place in places]
    assert sums.value_sums.tolist() == [255 * 5000] and sums.area_px.tolist() == [5000]
    assert sums.high[:, 0].tolist() == [start[0] + 1, start[1] + 1, start[2] + 5]


@pytest.mark.parametrize("axes", [2, 3])
def test_memory_per_object_is_as_documented(axes):
    sums = ObjectSums.zeros(1000, axes, False)
    held = sum(part.nbytes for part in vars(sums).values())
    assert held == 1000 * {2: 41, 3: 57}[axes]
    assert str(held // 1000) in ObjectSums.__doc__
    assert str(held // 1000 + 4) in measure_objects.__doc__


def test_the_table_tells_slide_pixel_size_and_labels(tmp_path):
    store = reference(np.ones((1, 2, 2), np.uint8), tmp_path / "r", (1.0, 0.5, 0.25))
    known = table(store, tmp_path, slide='a "slide" é').schema.metadata
    assert known[b"slide"].decode() == 'a "slide" é'
    assert json.loads(known[b"pixel_size_um"]) == [1.0, 0.5, 0.25]
    assert known[b"labels_digest"].decode() == store.digest


def test_row_groups_are_bounded_and_their_size_changes_no_value(tmp_path, monkeypatch):
    labels = np.arange(1, 31, dtype=np.uint16).reshape(1, 5, 6)
    store = reference(labels, tmp_path / "r")
    whole = table(store, tmp_path)
    monkeypatch.setattr(table_module, "ROWS", 7)
    found = table(store, tmp_path)
    assert found.equals(whole)
    file = pq.ParquetFile(tmp_path / "o.parquet").metadata
    assert [file.row_group(i).num_rows for i in range(file.num_row_groups)] == [7, 7, 7, 7, 2]


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("kind", ["instances", "binary"])
def test_no_object_gives_an_empty_table_with_the_same_columns(tmp_path, depth, kind):
    empty = reference(np.zeros((depth, 3, 4), np.uint8), tmp_path / "e", None, kind)
    some = reference(np.ones((depth, 3, 4), np.uint8), tmp_path / "s", None, kind)
    values = probabilities(np.zeros((2, depth, 3, 4)), tmp_path / "p")
    for given_values in (None, values):
        found, full = (table(store, tmp_path, given_values) for store in (empty, some))
        assert len(found) == 0 and len(full) == 1
        assert found.schema.remove_metadata() == full.schema.remove_metadata()


def test_probabilities_of_another_slide_or_of_other_classes_are_refused(tmp_path):
    store = reference(np.ones((1, 3, 4), np.uint8), tmp_path / "r")
    other = probabilities(np.zeros((2, 1, 3, 5)), tmp_path / "p")
    with pytest.raises(InputError, match=r"p: is \(1, 3, 5\) .*r are \(1, 3, 4\); give prob"):
        measure_objects(store, other)
    others = probabilities(np.zeros((3, 1, 3, 4)), tmp_path / "q", [*NAMES, "third"])
    with pytest.raises(InputError, match=r"q: has classes .*'third'.* of the same classes"):
        measure_objects(store, others)


def test_labels_with_more_ids_than_they_say_are_refused(tmp_path):
    store = reference(np.array([[[1, 0, 1]]], np.uint8), tmp_path / "r", None, "binary")
    damaged = Store(store.path, {**store.attributes, "objects": 1})
    with pytest.raises(InputError, match="r: an id is 2; allowed: up to 1; make the labels again"):
        measure_objects(damaged)


def test_a_table_that_fails_half_way_leaves_the_one_before(tmp_path, monkeypatch):
    store = reference(np.ones((1, 3, 4), np.uint8), tmp_path / "r")
    table(store, tmp_path)
    before = (tmp_path / "o.parquet").read_bytes()
    monkeypatch.setattr(measurements.Objects, "columns", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        table(store, tmp_path)
    assert (tmp_path / "o.parquet").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["o.parquet", "r"]


def test_real_nuclei_are_measured_as_scikit_image_does(tmp_path, monkeypatch, data):
    path = data / "nuclei_dsb2018" / "fluo" / "label" / "04acab7636c4.tif"
    labels = tifffile.imread(path)[None]
    size = (1.0, 0.65, 0.65)
    store = reference(labels, tmp_path / "r", size)
    whole = table(store, tmp_path)
    use_blocks(monkeypatch, (1, 40, 50))
    found = table(store, tmp_path)
    assert found.equals(whole) and len(found) > 50
    assert_as_scikit_image_measures(found, labels, size)


def test_a_real_volume_of_components_is_measured_as_scikit_image_does(tmp_path, monkeypatch, data):
    mask = (tifffile.imread(data / "stardist_samples" / "mask3d.tif") > 0).astype(np.uint8)
    for name, value in {"VOLUME_CHUNK": (4, 16, 16), "VOLUME_SHARD": (4, 16, 32)}.items():
        monkeypatch.setattr(layout, name, value)
    folder = tmp_path / "r"
    write_component_store(folder, "k", mask.shape, lambda b: mask[b.slices], NAMES, None, "binary")
    use_blocks(monkeypatch, (5, 20, 30))
    found = table(Store.open(folder), tmp_path)
    assert len(found) > 5
    assert_as_scikit_image_measures(found, Store.open(folder).array[:])
