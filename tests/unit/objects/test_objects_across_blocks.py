"""Objects of real pictures have the numbers that the whole picture gives, whatever the blocks."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imageio.v3 import imread
from scipy import ndimage
from skimage.measure import label

from overtile.objects.segmentation import write_segmentation
from overtile.settings.segmentation import Segmenting
from overtile.stores import layout
from overtile.stores.store import Store
from overtile.stores.writer import StoreWriter
from tests.unit import naive_objects as naive

ANY_EXAMPLE = settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
STAGES = Segmenting(0.45, 0.8, 4, 6, 12, 3, 15)


@st.composite
def layouts(draw):
    """Edges of chunks and of the smallest shards, and how many shards there may be."""

    def sizes(smallest):
        chunk = [draw(st.integers(least, 3 * least)) for least in smallest]
        return tuple(chunk), tuple(c * draw(st.integers(1, 3)) for c in chunk)

    picture, volume = sizes((20, 20)), sizes((5, 12, 12))
    return {
        "PICTURE_CHUNK": (1, *picture[0]),
        "PICTURE_SHARD": (1, *picture[1]),
        "VOLUME_CHUNK": volume[0],
        "VOLUME_SHARD": volume[1],
        "MAX_SHARDS": draw(st.sampled_from([1, 4, 256])),
    }


def segmented(foreground, folder, how, patch, blocks) -> Store:
    """The label store of a picture of foreground (z, y, x) uint8, in blocks of these sizes."""
    probabilities = np.stack([255 - foreground, foreground])
    for name, value in blocks.items():
        patch.setattr(layout, name, value)
    writer = StoreWriter(folder / "p", "k", "probabilities")
    writer.add_array("0", probabilities.shape, np.uint8, "czyx")
    writer.fill("0", lambda b: (probabilities[(slice(None), *b.slices)], {}), label="probabilities")
    ome = {"multiscales": [{"datasets": [{"path": "0"}]}]}
    names = ["background", "cell"]
    writer.commit(ome, pixel_size_um=None, class_names=names, scale=1 / 255)
    write_segmentation(Store.open(folder / "p"), folder / "s", "k", how)
    return Store.open(folder / "s", "labels")


@cache
def cells(folder: Path) -> np.ndarray:
    """Inside of cells in an electron micrograph, (1, 210, 230) uint8, soft at membranes."""
    inside = imread(folder / "em_isbi2012" / "label" / "03.png")
    soft = ndimage.gaussian_filter(inside[:210, :230].astype(float), 1.5)
    return np.rint(soft).astype(np.uint8)[None]


@cache
def nuclei(folder: Path) -> np.ndarray:
    """A volume of nuclei, (z, y, x) uint8, soft at borders."""
    inside = 255.0 * (tifffile.imread(folder / "stardist_samples" / "mask3d.tif") > 0)
    return np.rint(ndimage.gaussian_filter(inside, 0.8)).astype(np.uint8)


@pytest.mark.parametrize("pixels", [cells, nuclei])
@given(blocks=layouts(), seed=st.integers(0, 9))
@ANY_EXAMPLE
def test_components_are_those_of_scikit_image(
    tmp_path_factory, monkeypatch, data, pixels, blocks, seed
):
    noise = np.random.default_rng(seed).integers(-40, 40, pixels(data).shape)
    foreground = np.clip(pixels(data) + noise, 0, 255).astype(np.uint8)
    expected = label(foreground > 127, connectivity=1)
    with monkeypatch.context() as patch:
        folder = tmp_path_factory.mktemp("components")
        store = segmented(foreground, folder, Segmenting(), patch, blocks)
        assert store.array[:].tobytes() == expected.astype(np.uint32).tobytes()
    assert store.attributes["objects"] == expected.max() > 3


@cache
def as_defined(folder: Path, pixels) -> tuple[np.ndarray, np.ndarray]:
    """A part of a picture, and its objects after all stages."""
    foreground = pixels(folder)[:, :90, :110] if pixels is cells else pixels(folder)[:16]
    probabilities = np.stack([255 - foreground, foreground])
    return foreground, naive.segment(probabilities, STAGES, STAGES.min_object_px)[0]


@pytest.mark.parametrize("pixels", [cells, nuclei])
@given(blocks=layouts())
@ANY_EXAMPLE
def test_all_stages_give_the_objects_of_their_definition(
    tmp_path_factory, monkeypatch, data, pixels, blocks
):
    foreground, expected = as_defined(data, pixels)
    assert expected.max() > 3
    with monkeypatch.context() as patch:
        store = segmented(foreground, tmp_path_factory.mktemp("s"), STAGES, patch, blocks)
        assert store.array[:].tobytes() == expected.astype(np.uint32).tobytes()


@pytest.mark.parametrize("how", [Segmenting(), Segmenting(seed_threshold=0.9, border_px=1)])
@given(blocks=layouts())
@ANY_EXAMPLE
def test_objects_on_all_faces_and_corners_of_blocks_are_counted_once(
    tmp_path_factory, monkeypatch, how, blocks
):
    _, height, width = blocks["PICTURE_SHARD"]
    foreground = np.zeros((1, 3 * height, 4 * width), np.uint8)
    corners = [(y, x) for y in range(0, 3 * height, height) for x in range(0, 4 * width, width)]
    for y, x in corners:  # objects of 1 to 2 pixels each way over corner, faces, and in between
        for dy, dx in ((0, 0), (height // 2, 0), (0, width // 2), (height // 2, width // 2)):
            foreground[0, max(0, y + dy - 1) : y + dy + 1, max(0, x + dx - 1) : x + dx + 1] = 250
    expected, count = label(foreground > 127, connectivity=1, return_num=True)
    if min(height, width) >= 6:
        assert count == 4 * len(corners)
    with monkeypatch.context() as patch:
        store = segmented(foreground, tmp_path_factory.mktemp("s"), how, patch, blocks)
        np.testing.assert_array_equal(store.array[:], expected)
    assert store.attributes["objects"] == count
