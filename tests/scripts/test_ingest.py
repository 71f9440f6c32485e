"""Ingest: true files in, stores out; bad files leave nothing behind."""

import numpy as np
import pytest
import tifffile

from overtile.stores.store import Store


def test_a_slide_with_jpeg_tiles_is_streamed_with_its_pixel_size(done, data, tmp_path):
    raw = data / "wsi" / "CMU-1-Small-Region.svs"
    done("ingest", "--image", raw, "--store", tmp_path / "s.ome.zarr")
    store = Store.open(tmp_path / "s.ome.zarr")
    assert np.array_equal(store.array[:, 0], np.moveaxis(tifffile.imread(raw), -1, 0))
    assert store.pixel_size_um == (0.499,) * 3
    assert store.levels > 2


def test_a_second_run_on_the_same_file_gives_the_same_bytes(done, done_cold, data, tmp_path):
    raw = data / "em_isbi2012" / "image" / "00.png"
    roots = []
    for run, name in ((done, "a"), (done_cold, "b"), (done, "a")):
        folder = tmp_path / name / "s.ome.zarr"
        run("ingest", "--image", raw, "--store", folder / "zarr.json")
        roots.append((folder / "zarr.json").read_bytes())
    assert roots[0] == roots[1] == roots[2]


def test_the_command_line_overrides_the_pixel_size(done, data, tmp_path):
    raw = data / "em_isbi2012" / "image" / "00.png"
    size = ("--pixel-size-um", "0.05", "0.004", "0.004")
    done("ingest", "--image", raw, "--store", tmp_path / "s.ome.zarr", *size)
    assert Store.open(tmp_path / "s.ome.zarr").pixel_size_um == (0.05, 0.004, 0.004)


def test_labels_of_another_shape_than_the_picture_are_refused(step, done, data, tmp_path):
    store = tmp_path / "s.ome.zarr"
    done("ingest", "--image", data / "em_isbi2012" / "image" / "00.png", "--store", store)
    label = data / "cells_phase_usiigaci" / "label"
    other = sorted(label.iterdir())[0]
    result = step(
        *("ingest", "--labels", other, "--kind", "instances"),
        *("--store", store / "labels" / "reference"),
    )
    assert result.returncode == 1
    assert "(1, 1022, 1024)" in result.stderr and "(1, 512, 512)" in result.stderr
    assert not (store / "labels" / "reference" / "zarr.json").exists()


@pytest.mark.parametrize("content", [b"", b"II*\0\0\0\0\0", b"not a picture"])
def test_a_file_that_is_no_picture_is_one_line_and_no_store(step, tmp_path, content):
    raw = tmp_path / 'it\'s a "slide".tif'
    raw.write_bytes(content)
    result = step("ingest", "--image", raw, "--store", tmp_path / "s.ome.zarr")
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1
    assert str(raw) in result.stderr
    assert not (tmp_path / "s.ome.zarr" / "zarr.json").exists()


def test_nan_pixels_are_refused_with_their_place(step, tmp_path):
    picture = np.zeros((300, 300), np.float32)
    picture[280, 5] = np.nan
    tifffile.imwrite(tmp_path / "nan.tif", picture)
    result = step("ingest", "--image", tmp_path / "nan.tif", "--store", tmp_path / "s.ome.zarr")
    assert result.returncode == 1 and "NaN" in result.stderr
