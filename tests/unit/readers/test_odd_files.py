"""Odd, damaged and hostile files are ingested with their true pixels, or refused in one line."""

import os

import imagecodecs
import numpy as np
import pytest
import tifffile

from overtile.errors import InputError
from overtile.ingest.pictures import write_picture
from overtile.readers.opening import open_raw
from overtile.stores.store import ROOT, Store

# What is known of each file, so that neither reading everything nor refusing everything passes.
READABLE = {
    "12bit.cropped.tif",
    "12in16bit.tif",
    "16bit.MM.cropped.tif",
    "16bit.MM.deflate.tif",
    "16bit.cropped.tif",
    "16bit.deflate.tif",
    "16bit.r.tif",
    "16bit.s.tif",
    "hopper_bigtiff.tif",
    "tiff_16bit_RGB.tiff",
    "tiff_16bit_RGBa.tiff",
}
ALPHA = {"tiff_16bit_RGBa.tiff", "tiff_wrong_bits_per_sample.tiff"}
DAMAGED = {
    "broken.png",
    "broken_data_stream.png",
    "libtiff_segfault.tif",
    "oom-225817ca0f8c663be7ab4b9e717b02c661e66834.tif",
    "seek_too_large.tif",
    "crash-2020-10-test.tif",
    "crash-86214e58da443d2b80820cff9677a38a33dcbbca.tif",
}


@pytest.fixture(scope="module")
def outcomes(data, tmp_path_factory) -> dict[str, Store | InputError]:
    """Every file of the folder, ingested: its store, or the refusal."""
    folder = tmp_path_factory.mktemp("odd")
    found: dict[str, Store | InputError] = {}
    for path in sorted((data / "odd_tiff").iterdir()):
        store = folder / f"{path.name}.ome.zarr"
        try:
            raw = open_raw(path)
            write_picture(raw, store, "k", raw.pixel_size_um, None)
            found[path.name] = Store.open(store)
        except InputError as error:
            found[path.name] = error
            assert not (store / ROOT).exists()
    return found


def independent_pixels(path) -> np.ndarray:
    """(c, y, x) by tifffile's or imagecodecs' own whole-picture readers."""
    if path.suffix == ".png":
        pixels = imagecodecs.png_decode(path.read_bytes())
    else:
        pixels = tifffile.imread(path, series=0)
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


def test_every_file_was_tried(data, outcomes):
    assert set(outcomes) == set(os.listdir(data / "odd_tiff"))
    assert len(outcomes) == 39


def test_what_is_ingested_has_the_pixels_that_another_reader_sees(data, outcomes):
    for name, store in outcomes.items():
        if isinstance(store, InputError):
            continue
        expected = independent_pixels(data / "odd_tiff" / name)
        pixels = store.array[:]
        assert pixels.size > 0, name
        np.testing.assert_array_equal(pixels[:, 0], expected[: len(pixels)], err_msg=name)
        assert len(expected) - len(pixels) in (0, 1), name


def test_transparency_is_left_out(outcomes):
    for name in ALPHA:
        assert outcomes[name].array.shape[0] == 3, name


def test_every_refusal_is_one_line_that_begins_with_the_file(data, outcomes):
    for name, error in outcomes.items():
        if isinstance(error, InputError):
            message = str(error)
            assert message.startswith(f"{data / 'odd_tiff' / name}: "), message
            assert "\n" not in message
            assert "; " in message, f"{message}: says not what to do"
            assert len(message) < 400 + len(str(data)), message


def test_sound_files_are_read_and_damaged_ones_refused(outcomes):
    refused = {name for name, outcome in outcomes.items() if isinstance(outcome, InputError)}
    assert not READABLE & refused
    assert refused >= DAMAGED


def test_palettes_are_refused_as_pictures_but_read_as_labels(data, outcomes):
    name = "multipage-mmap.tiff"
    assert "palette" in str(outcomes[name])
    raw = open_raw(data / "odd_tiff" / name)
    pixels = raw.read(tuple(slice(0, n) for n in raw.shape[1:]))
    np.testing.assert_array_equal(pixels[0], tifffile.imread(data / "odd_tiff" / name))
