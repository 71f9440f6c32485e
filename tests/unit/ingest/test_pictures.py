"""A raw picture becomes a store: pixels, statistics, pyramid and OME-Zarr metadata."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from overtile.errors import InputError
from overtile.ingest.pictures import block_statistics, mean_and_std, write_picture
from overtile.ingest.references import write_reference
from overtile.readers.opening import open_raw
from overtile.readers.raw import RawImage
from overtile.stores import layout
from overtile.stores.store import ROOT, Store


def raw_of(pixels, **options) -> RawImage:
    """An array (c, z, y, x) as if it came from a file."""
    return RawImage(Path("made.tif"), pixels, (0, 1, 2, 3), None, **options)


def ingest(pixels, folder, size=None, channels=None) -> Store:
    write_picture(raw_of(pixels), folder, "k", size, channels)
    return Store.open(folder)


@pytest.fixture
def small_blocks(monkeypatch):
    """Shards of 16 x 16 pixels, and pyramids down to 8."""
    for name, value in {
        "PICTURE_CHUNK": (1, 8, 8),
        "PICTURE_SHARD": (1, 16, 16),
        "VOLUME_CHUNK": (2, 8, 8),
        "VOLUME_SHARD": (4, 16, 16),
        "SMALLEST_LEVEL_PX": 8,
    }.items():
        monkeypatch.setattr(layout, name, value)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "float32"])
def test_mean_and_deviation_equal_those_of_numpy(tmp_path, small_blocks, dtype):
    pixels = np.random.default_rng(1).normal(60, 9, (2, 1, 40, 37)).astype(dtype)
    pixels[1] //= 3
    store = ingest(pixels, tmp_path / "s.ome.zarr")
    channels = pixels.reshape(2, -1).astype(float)
    np.testing.assert_allclose(store.attributes["mean"], channels.mean(axis=1), rtol=1e-9)
    np.testing.assert_allclose(store.attributes["std"], channels.std(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(store.array[:], pixels)
    assert store.array.dtype == dtype


@given(
    arrays(np.uint16, st.tuples(st.just(2), st.integers(2, 9), st.integers(1, 9))),
    st.integers(1, 8),
)
@settings(max_examples=60, deadline=None)
def test_statistics_add_up_over_any_cut(flat, cut):
    pixels = flat[:, None]
    records = [block_statistics(p) for p in (pixels[:, :, :cut], pixels[:, :, cut:]) if p.size]
    mean, std = mean_and_std(records)
    np.testing.assert_allclose(mean, pixels.mean(axis=(1, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, pixels.std(axis=(1, 2, 3)), rtol=1e-9)


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (3, 2, 0, 1)])
def test_statistics_need_little_memory_and_no_order_in_memory(axes):
    made = np.random.default_rng(0).integers(0, 255, (3, 2, 1024, 700), dtype=np.uint8)
    pixels = np.ascontiguousarray(made.transpose(axes)).transpose(np.argsort(axes))
    tracemalloc.start()
    found = block_statistics(pixels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.5 * pixels.nbytes
    assert found == block_statistics(made)
    np.testing.assert_allclose(found["mean"], made.mean(axis=(1, 2, 3)), rtol=1e-12)
    deviations = made.var(axis=(1, 2, 3)) * found["count"]
    np.testing.assert_allclose(found["squared_deviations"], deviations, rtol=1e-12)


@pytest.mark.parametrize(("dtype", "level"), [("int32", 2**31 - 100), ("float32", 1e6)])
def test_a_bright_flat_picture_keeps_its_small_deviation(tmp_path, small_blocks, dtype, level):
    pixels = (level + np.random.default_rng(2).integers(-2, 3, (1, 1, 40, 37))).astype(dtype)
    store = ingest(pixels, tmp_path / "s")
    exact = pixels.astype(float)
    assert store.attributes["std"] == pytest.approx([exact.std()], rel=1e-9)


@pytest.mark.parametrize("value", [np.uint8(7), np.float32(0.1)])
def test_a_constant_picture_deviates_by_nothing(tmp_path, small_blocks, value):
    store = ingest(np.full((1, 1, 40, 37), value), tmp_path / "s")
    assert (store.attributes["mean"], store.attributes["std"]) == ([float(value)], [0.0])


@pytest.mark.parametrize("shape", [(3, 1, 40, 37), (1, 7, 21, 18)])
def test_metadata_is_valid_for_readers_of_ome_zarr(tmp_path, small_blocks, shape):
    from ome_zarr_models.v05.image import Image

    pixels = np.arange(np.prod(shape)).reshape(shape).astype(np.uint16)
    store = ingest(pixels, tmp_path / "s.ome.zarr", size=(2.0, 0.5, 0.25))
    image = Image.from_zarr(zarr.open_group(store.path, mode="r"))
    multiscale = image.attributes.ome.multiscales[0]
    assert [axis.name for axis in multiscale.axes] == ["c", "z", "y", "x"]
    assert {axis.unit for axis in multiscale.axes if axis.type == "space"} == {"micrometer"}
    scales = [d.coordinateTransformations[0].scale for d in multiscale.datasets]
    assert list(scales[0]) == [1.0, 2.0, 0.5, 0.25]
    assert len(scales) == store.levels > 2


def test_each_level_lies_over_the_same_piece_of_the_world(tmp_path, small_blocks):
    """A level's pixel centre is the mean of the centres of the pixels it was made from."""
    ramp = np.broadcast_to(np.arange(64, dtype=np.float32), (1, 1, 64, 64))
    store = ingest(ramp, tmp_path / "s", size=(1.0, 0.5, 0.5))
    for number, dataset in enumerate(store.attributes["ome"]["multiscales"][0]["datasets"]):
        steps = {t["type"]: t for t in dataset["coordinateTransformations"]}
        values = store.level(number)[0, 0, 0]
        places = np.arange(len(values)) * steps["scale"]["scale"][3]
        places = places + steps["translation"]["translation"][3]
        np.testing.assert_allclose(places, 0.5 * values)


def test_pixels_without_a_known_size_have_no_unit(tmp_path):
    store = ingest(np.ones((1, 1, 3, 3), dtype=np.uint8), tmp_path / "s")
    axes = store.attributes["ome"]["multiscales"][0]["axes"]
    assert not any("unit" in axis for axis in axes)
    assert store.attributes["pixel_size_um"] is None
    assert store.pixel_size_um == (1.0, 1.0, 1.0)


def test_label_metadata_is_valid_and_listed_in_the_picture(tmp_path):
    from ome_zarr_models.v05.image_label import ImageLabel

    pixels = np.zeros((1, 1, 6, 6), dtype=np.uint8)
    picture = ingest(pixels, tmp_path / "s.ome.zarr")
    folder = picture.path / "labels" / "reference"
    names = ["background", "cell"]
    write_reference(raw_of(pixels), folder, "k", "binary", names, [0, 1], None, None)
    for path in (folder, folder / "classes"):
        label = ImageLabel.from_zarr(zarr.open_group(path, mode="r"))
        assert label.attributes.ome.image_label is not None
    listed = zarr.open_group(picture.path / "labels", mode="r").attrs["ome"]["labels"]
    assert listed == ["reference"]


def test_a_viewer_finds_picture_and_labels_from_one_address(tmp_path):
    from ome_zarr_models.v05 import Image

    pixels = np.zeros((1, 1, 6, 6), dtype=np.uint8)
    picture = ingest(pixels, tmp_path / "s.ome.zarr")
    for name in ("reference", "unet"):
        folder = picture.path / "labels" / name
        names = ["background", "cell"]
        write_reference(raw_of(pixels), folder, "k", "binary", names, [0, 1], None, None)
    found = Image.from_zarr(zarr.open_group(picture.path, mode="r"))
    assert found.labels.label_paths == ["reference", "unet"]


def test_the_same_pixels_in_another_file_give_the_same_root_bytes(tmp_path):
    pixels = np.arange(48, dtype=np.uint8).reshape(1, 1, 6, 8)
    roots = []
    for folder, key in (("a/s.ome.zarr", "one key"), ("b/s.ome.zarr", "another")):
        write_picture(raw_of(pixels), tmp_path / folder, key, None, None)
        roots.append((tmp_path / folder / ROOT).read_bytes())
    assert roots[0] == roots[1]


def test_float64_and_float16_are_stored_as_float32(tmp_path):
    for dtype in (np.float64, np.float16):
        store = ingest(np.ones((1, 1, 3, 3), dtype=dtype), tmp_path / np.dtype(dtype).name)
        assert store.array.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.complex64, np.int64, np.uint64])
def test_pixels_that_no_network_takes_are_refused_by_type(tmp_path, dtype):
    with pytest.raises(InputError, match=f"made.tif: .*{np.dtype(dtype).name}.*allowed"):
        ingest(np.ones((1, 1, 3, 3), dtype=dtype), tmp_path / "s")
    assert not (tmp_path / "s" / ROOT).exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_pixels_that_are_no_numbers_are_refused_and_nothing_is_committed(tmp_path, value):
    pixels = np.ones((1, 1, 4, 4))
    pixels[0, 0, 2, 3] = value
    with (
        np.errstate(over="ignore"),
        pytest.raises(InputError, match="made.tif: has NaN or infinite pixels"),
    ):
        ingest(pixels, tmp_path / "s")
    assert not (tmp_path / "s" / ROOT).exists()


def test_channel_names_are_kept_if_there_is_one_for_each(tmp_path):
    pixels = np.ones((2, 1, 3, 3), dtype=np.uint8)
    store = ingest(pixels, tmp_path / "s", channels=["DAPI", "GFP"])
    assert store.attributes["channels"] == ["DAPI", "GFP"]
    with pytest.raises(InputError, match="has 2 channels, but 1 names"):
        ingest(pixels, tmp_path / "s", channels=["DAPI"])


def test_a_palette_is_refused_as_a_picture(tmp_path):
    raw = raw_of(np.ones((1, 1, 3, 3), dtype=np.uint8), has_palette=True)
    with pytest.raises(InputError, match="palette"):
        write_picture(raw, tmp_path / "s", "k", None, None)


def test_a_real_volume_keeps_its_voxels(tmp_path, data):
    import tifffile

    path = data / "stardist_samples" / "img3d.tif"
    write_picture(open_raw(path), tmp_path / "s", "k", (2.0, 1.0, 1.0), None)
    np.testing.assert_array_equal(Store.open(tmp_path / "s").array[0], tifffile.imread(path))
