"""Weigh: by plan, by flags, and from a plain picture."""

import numpy as np
import pytest
import tifffile

from overtile.stores.store import Store


def test_a_plain_label_picture_is_enough(done, data, tmp_path):
    mask = sorted((data / "nuclei_dsb2018" / "fluo" / "label").iterdir())[0]
    labels = tifffile.imread(mask)
    done(
        *("weigh", "--labels", mask, "--weights", tmp_path / "w.zarr"),
        *("--w0", "10", "--sigma-px", "5", "--class-weights", "1", "2"),
    )
    weights = Store.open(tmp_path / "w.zarr").array[0]
    assert weights.shape == labels.shape
    assert (weights[labels > 0] >= 2).all() and (weights[labels == 0] >= 1).all()
    assert weights.max() <= 12


def test_the_plans_weights_balance_the_classes(planned):
    store = Store.open(planned / "a.zarr")
    assert store.attributes["weights"]["sigma_px"] == 5
    assert np.isfinite(store.array[:]).all()


@pytest.mark.parametrize("flag", [["--w0", "0"], ["--sigma-px", "-1"], ["--w0", "nan"]])
def test_weights_that_make_no_sense_are_refused(step, planned, tmp_path, flag):
    labels = planned / "a.ome.zarr" / "labels" / "reference"
    result = step("weigh", "--labels", labels, "--weights", tmp_path / "w.zarr", *flag)
    assert result.returncode == 2
    assert "above 0" in result.stderr


def test_class_weights_must_match_the_classes(step, planned, tmp_path):
    result = step(
        *("weigh", "--labels", planned / "a.ome.zarr" / "labels" / "reference"),
        *("--weights", tmp_path / "w.zarr", "--class-weights", "1", "2", "3"),
    )
    assert result.returncode == 1
    assert "3 values" in result.stderr and "membrane, cell" in result.stderr
