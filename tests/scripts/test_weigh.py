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
    assert store.attributes["weighting"]["sigma"] == 5
    assert np.isfinite(store.array[:]).all()


def weigh(done, labels, target, *flags) -> np.ndarray:
    """The weight map that the step makes of labels."""
    done("weigh", "--labels", labels, "--weights", target, *flags)
    return Store.open(target).array[:]


def test_a_larger_tolerance_looks_less_far_and_changes_nothing_nearer(done, data, tmp_path):
    labels = sorted((data / "nuclei_dsb2018" / "fluo" / "label").iterdir())[0]
    fixed = ("--class-weights", "0", "0", "--w0", "10")
    exact = weigh(done, labels, tmp_path / "exact.zarr", *fixed)
    rough = weigh(done, labels, tmp_path / "rough.zarr", *fixed, "--tolerance", "0.01")
    assert ((exact > 0) & (rough == 0)).any()
    np.testing.assert_array_equal(rough, np.where(exact >= 0.1, exact, 0))


def test_a_sigma_in_micrometres_is_the_same_border_at_any_resolution(done, tmp_path):
    cells = np.zeros((20, 60), dtype=np.uint8)
    cells[:, :20], cells[:, 40:] = 1, 2
    weights = []
    for name, factor in {"coarse": 1, "fine": 2}.items():
        picture = cells.repeat(factor, axis=0).repeat(factor, axis=1)
        raw = tmp_path / f"{name}.ome.tif"
        size = {"PhysicalSizeX": 0.5 / factor, "PhysicalSizeY": 0.5 / factor, "axes": "YX"}
        tifffile.imwrite(raw, picture, ome=True, metadata=size)
        store = tmp_path / f"{name}.ome.zarr" / "labels" / "reference"
        done("ingest", "--labels", raw, "--kind", "instances", "--store", store)
        flags = ("--sigma-um", "3", "--class-weights", "0", "0")
        weights.append(weigh(done, store, tmp_path / f"{name}.zarr", *flags)[0])
    # d_1 + d_2 is one pixel edge more than the gap: 10.5 um at 0.5, 10.25 um at 0.25 um per pixel.
    for map_, gap_um in zip(weights, (10.5, 10.25), strict=True):
        middle = map_[map_.shape[0] // 2, map_.shape[1] // 2]
        assert middle == pytest.approx(10 * np.exp(-(gap_um**2) / (2 * 3**2)), rel=1e-5)


def test_micrometres_without_a_pixel_size_are_refused(step, planned, tmp_path):
    labels = planned / "a.ome.zarr" / "labels" / "reference"
    target = tmp_path / "w.zarr"
    result = step("weigh", "--labels", labels, "--weights", target, "--sigma-um", "1")
    assert result.returncode == 1
    assert "has no pixel size" in result.stderr and "sigma in pixels" in result.stderr
    assert not target.exists()


def test_sigma_is_given_once(step, planned, tmp_path):
    labels = planned / "a.ome.zarr" / "labels" / "reference"
    flags = ("--weights", tmp_path / "w", "--sigma-px", "3", "--sigma-um", "1")
    assert step("weigh", "--labels", labels, *flags).returncode == 2


@pytest.mark.parametrize("flag", [["--tolerance", "0"], ["--tolerance", "1"], ["--threads", "0"]])
def test_numbers_out_of_range_are_refused(step, tmp_path, flag):
    result = step("weigh", "--labels", "no.tif", "--weights", tmp_path / "w.zarr", *flag)
    assert result.returncode == 2 and flag[0] in result.stderr


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
