"""Viewers find a picture, its reference and every model's result, and nothing unfinished."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from ome_zarr_models.v05.image import Image
from ome_zarr_models.v05.image_label import ImageLabel
from ome_zarr_models.v05.labels import Labels

from overtile.errors import InputError
from overtile.ingest.pictures import write_picture
from overtile.ingest.references import write_reference
from overtile.readers.raw import RawImage
from overtile.stores import labels as label_stores
from overtile.stores.labels import write_component_store
from overtile.stores.store import Store, finished_labels

SIZE = (1.0, 0.5, 0.5)
NAMES = ["background", "cell"]


@pytest.fixture
def slide(tmp_path, data) -> Path:
    """A picture of nuclei with its reference."""
    source = data / "nuclei_dsb2018" / "fluo"
    name = "04acab7636c4.tif"
    store = tmp_path / "slide.ome.zarr"
    picture, labels = (tifffile.imread(source / kind / name) for kind in ("image", "label"))
    write_picture(raw(picture), store, "k", SIZE, None)
    folder = store / "labels" / "reference"
    write_reference(raw(labels), folder, "k", "instances", NAMES, [0, 1], None, SIZE)
    return store


def raw(pixels) -> RawImage:
    return RawImage(Path("made.tif"), pixels[None, None], (0, 1, 2, 3), None)


def segment(slide, name, key="k"):
    """Write the labels of a model: the bright pixels."""
    pixels = zarr.open_array(slide / "0", mode="r")[0]

    def read(block):
        return (pixels[block.slices] > 20).astype(np.uint8)

    folder = slide / "labels" / name
    write_component_store(folder, key, pixels.shape, read, NAMES, SIZE, "segmentation")


def listed(slide) -> list[str]:
    return json.loads((slide / "labels" / "zarr.json").read_text())["attributes"]["ome"]["labels"]


def test_reference_and_all_models_are_listed_and_valid(slide):
    for name in ("unet", "a-model_2.0"):
        segment(slide, name)
    assert listed(slide) == ["a-model_2.0", "reference", "unet"]
    picture = Image.from_zarr(zarr.open_group(slide, mode="r"))
    Labels.from_zarr(zarr.open_group(slide / "labels", mode="r"))
    levels = len(picture.attributes.ome.multiscales[0].datasets)
    for name in listed(slide):
        label = ImageLabel.from_zarr(zarr.open_group(slide / "labels" / name, mode="r"))
        (multiscale,) = label.attributes.ome.multiscales
        assert len(multiscale.datasets) == levels
        assert multiscale.axes == picture.attributes.ome.multiscales[0].axes[1:]


def test_ids_and_class_maps_name_the_picture_that_they_are_of(slide):
    segment(slide, "unet")
    for folder in ("reference", "reference/classes", "unet", "unet/classes"):
        label = ImageLabel.from_zarr(zarr.open_group(slide / "labels" / folder, mode="r"))
        source = label.attributes.ome.image_label.source.image
        assert Path(os.path.normpath(slide / "labels" / folder / source)) == slide


@pytest.mark.parametrize("key", ["k", "other settings"])
def test_a_model_is_not_listed_from_its_new_beginning_to_its_end(slide, monkeypatch, key):
    segment(slide, "unet")
    assert listed(slide) == ["reference", "unet"]
    with monkeypatch.context() as patch:
        patch.setattr(label_stores, "add_pyramid", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            segment(slide, "unet", key)
    assert not (slide / "labels" / "unet" / "zarr.json").exists()
    assert listed(slide) == ["reference"]
    segment(slide, "unet", key)
    assert listed(slide) == ["reference", "unet"]


@pytest.mark.parametrize(
    "text", ["thesis", "[]", '{"zarr_format": 3, "node_type": "array"}', '{"attributes": {}}']
)
def test_a_file_of_somebody_in_a_folder_named_labels_is_left_alone(tmp_path, text):
    mine = tmp_path / "labels" / "zarr.json"
    mine.parent.mkdir()
    mine.write_text(text)
    pixels = np.ones((1, 5, 5), np.uint8)

    def read(block):
        return pixels[block.slices]

    target = mine.parent / "unet"
    write_component_store(target, "k", pixels.shape, read, NAMES, SIZE, "segmentation")
    assert Store.open(target).attributes["objects"] == 1
    assert mine.read_text() == text


def test_a_link_in_place_of_the_lock_is_refused_and_its_target_left_alone(slide, tmp_path):
    mine = tmp_path / "thesis.txt"
    mine.write_text("precious")
    lock = slide / "labels" / ".lock"
    lock.unlink()
    lock.symlink_to(mine)
    with pytest.raises(InputError, match="labels/.lock: is a link"):
        segment(slide, "unet")
    assert mine.read_text() == "precious"
    lock.unlink()
    lock.write_text("kept")
    segment(slide, "unet")
    assert lock.read_text() == "kept"


def test_a_damaged_list_is_made_again(slide):
    for damaged in (b"", b"\xff", b'{"zarr_format": 3, "attrib'):
        (slide / "labels" / "zarr.json").write_bytes(damaged)
        segment(slide, "unet")
        assert listed(slide) == ["reference", "unet"]


def test_finished_labels_are_those_of_this_project(slide):
    zarr.create_group(slide / "labels" / "napari")
    (slide / "labels" / "odd").mkdir()
    (slide / "labels" / "odd" / "zarr.json").write_bytes(b"\xff{")
    segment(slide, "unet")
    found = finished_labels(Store.open(slide))
    assert {name: store.path for name, store in found.items()} == {
        name: slide / "labels" / name for name in ("reference", "unet")
    }
    (slide / "labels" / "reference" / "zarr.json").unlink()
    assert list(finished_labels(Store.open(slide))) == ["unet"]
    root = slide / "labels" / "unet" / "zarr.json"
    for damaged in (root.read_bytes()[:40], root.read_bytes().replace(b"unet", b"uneT")):
        root.write_bytes(damaged)
        with pytest.raises(InputError, match=f"{slide}/labels/unet: .*damaged"):
            finished_labels(Store.open(slide))


def test_labels_that_another_program_has_listed_stay_listed(slide):
    zarr.create_group(slide / "labels" / "theirs")
    (slide / "labels" / "zarr.json").write_text(
        '{"attributes": {"ome": {"version": "0.5", "labels": ["theirs"]}}}'
    )
    segment(slide, "unet")
    assert listed(slide) == ["reference", "theirs", "unet"]
