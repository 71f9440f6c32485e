"""Evaluate: stores and plain pictures, and refusals."""

import json

import numpy as np
import pytest


def test_a_reference_against_itself_is_perfect(done, archive, tmp_path):
    reference = archive / "a.ome.zarr" / "labels" / "reference"
    done(
        *("evaluate", "--reference", reference, "--segmentation", reference),
        *("--scores", tmp_path / "scores.json"),
    )
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["pixel_error"] == 0
    assert scores["objects"]["f1"] == 1
    assert scores["classes"]["cell"] | {"dice": 1.0, "iou": 1.0} == scores["classes"]["cell"]
    assert scores["rand"] == {"f1": 1, "split": 1, "merge": 1}
    assert scores["information"]["f1"] == pytest.approx(1)


def test_plain_pictures_score_as_scikit_image_does(done, data, tmp_path):
    from skimage.metrics import adapted_rand_error

    from overtile.readers.opening import open_raw

    files = [data / "em_isbi2012" / "label" / f"{n}.png" for n in ("00", "01")]
    done(
        *("evaluate", "--reference", files[0], "--segmentation", files[1], "--kind", "binary"),
        *("--scores", tmp_path / "s.json"),
    )
    scores = json.loads((tmp_path / "s.json").read_text())
    from scipy import ndimage

    masks = [np.asarray(open_raw(f).array) > 0 for f in files]
    labels = [ndimage.label(m)[0] for m in masks]
    error, split, merge = adapted_rand_error(*labels, ignore_labels=(0,))
    assert scores["pixel_error"] == pytest.approx((masks[0] != masks[1]).mean())
    assert scores["rand"] == pytest.approx({"f1": 1 - error, "split": split, "merge": merge})


def test_pictures_of_different_shape_are_refused(step, data, tmp_path):
    one = data / "em_isbi2012" / "label" / "00.png"
    other = sorted((data / "cells_phase_usiigaci" / "label").iterdir())[0]
    result = step(
        "evaluate", "--reference", one, "--segmentation", other, "--scores", tmp_path / "s.json"
    )
    assert result.returncode == 1
    assert f"{other}: is (1, 1022, 1024) (z, y, x) px, the reference {one} is (" in result.stderr
    assert not (tmp_path / "s.json").exists()


@pytest.mark.parametrize("step_and_flag", ["evaluate --reference", "export --segmentation"])
def test_a_plain_file_that_is_missing_is_no_unfinished_store(step, tmp_path, step_and_flag):
    name, flag = step_and_flag.split()
    others = {
        "evaluate": ("--segmentation", tmp_path / "n.tif", "--scores", tmp_path / "s.json"),
        "export": ("--tiff", tmp_path / "o.tif"),
    }
    result = step(name, flag, tmp_path / "none.tif", *others[name])
    assert result.returncode == 1
    assert f"{tmp_path}/none.tif: no such file" in result.stderr
    assert "store" not in result.stderr
