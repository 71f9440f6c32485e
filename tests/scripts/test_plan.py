"""Plan: what it resolves, and what it refuses."""

import numpy as np
import pytest
import tifffile
import yaml

from overtile.planning.plan import Fold
from overtile.planning.reading import read_plan


def test_a_plan_holds_sizes_class_weights_and_the_slides_fingerprints(planned):
    plan = yaml.safe_load((planned / "plan.yaml").read_text())
    assert plan["classes"] == ["membrane", "cell"]
    assert plan["folds"] == [{"train": ["a", "b"], "validation": ["c"]}]
    assert [s["slide"] for s in plan["slides"]] == ["a", "b", "c"]
    assert all(o >= 64 for o in plan["tile_output_px"])
    counts = [sum(s["class_counts"][c] for s in plan["slides"][:2]) for c in (0, 1)]
    weighted = [n * w for n, w in zip(counts, plan["weights"]["class_weights"], strict=True)]
    assert abs(weighted[0] - weighted[1]) < 1e-4 * sum(counts)


def test_arguments_may_stand_in_a_file(done, done_cold, archive, tmp_path):
    given = ["--images", archive / "a.ome.zarr", archive / "b.ome.zarr"]
    given += ["--validation", archive / "c.ome.zarr", "--groups", "one mouse", "it's another"]
    (tmp_path / "plan.args").write_text("\n".join(map(str, given)) + "\n")
    settings = ("--settings", archive / "settings.yaml")
    done("plan", *given, *settings, "--plan", tmp_path / "one.yaml")
    done_cold("plan", f"@{tmp_path}/plan.args", *settings, "--plan", tmp_path / "other.yaml")
    assert (tmp_path / "one.yaml").read_bytes() == (tmp_path / "other.yaml").read_bytes()


def test_no_training_slides_is_one_line(step, archive, tmp_path):
    result = step(
        "plan", "--images", "--settings", archive / "settings.yaml", "--plan", tmp_path / "p.yaml"
    )
    assert result.returncode == 1
    assert "no training slides" in result.stderr


def test_a_slide_without_reference_is_refused_by_name(step, done, data, archive, tmp_path):
    bare = tmp_path / "bare.ome.zarr"
    done("ingest", "--image", data / "em_isbi2012" / "image" / "01.png", "--store", bare)
    result = step(
        *("plan", "--images", archive / "a.ome.zarr", bare),
        *("--settings", archive / "settings.yaml", "--plan", tmp_path / "plan.yaml"),
    )
    assert result.returncode == 1
    assert "bare.ome.zarr/labels/reference" in result.stderr
    assert not (tmp_path / "plan.yaml").exists()


def test_a_tile_with_another_number_of_axes_than_the_network_is_one_line(step, archive, tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text("ndim: 3\ntile_px: [64, 64]\n")
    result = step(
        *("plan", "--images", archive / "a.ome.zarr"),
        *("--settings", settings, "--plan", tmp_path / "plan.yaml"),
    )
    assert result.returncode == 1
    assert "tile_px: has 2 values, the network has 3 axes" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.fixture(scope="module")
def touching(done, tmp_path_factory):
    """A slide of instances that fill it, and labels in which they stand apart."""
    folder = tmp_path_factory.mktemp("touching")
    cells = np.arange(1, 65, dtype=np.uint8).reshape(8, 8).repeat(16, axis=0).repeat(16, axis=1)
    tifffile.imwrite(folder / "cells.tif", cells)
    store = folder / "a.ome.zarr"
    done("ingest", "--image", folder / "cells.tif", "--store", store)
    reference = store / "labels" / "reference"
    done("ingest", "--labels", folder / "cells.tif", "--kind", "instances", "--store", reference)
    done("separate", "--labels", reference, "--separated", folder / "apart.ome.zarr")
    (folder / "settings.yaml").write_text("{tile_px: [32, 32], depth: 2, sigma_um: 2.5}")
    return folder


def test_class_weights_count_what_is_learnt_not_what_was_drawn(done, touching, tmp_path):
    done(
        *("plan", "--images", touching / "a.ome.zarr", "--labels", touching / "apart.ome.zarr"),
        *("--settings", touching / "settings.yaml", "--plan", tmp_path / "plan.yaml"),
    )
    plan = yaml.safe_load((tmp_path / "plan.yaml").read_text())
    background, cells = plan["slides"][0]["class_counts"]
    inner = 16 - 2  # each cell loses a line on each side that touches another
    assert cells == (6 * inner + 2 * (inner + 1)) ** 2 and background + cells == 128**2
    assert plan["weights"]["class_weights"][0] > 1 > plan["weights"]["class_weights"][1] > 0
    assert plan["slides"][0]["separate_px"] == 1
    assert plan["weights"]["sigma_um"] == 2.5


def test_labels_that_still_touch_are_refused_where_the_settings_separate(step, touching, tmp_path):
    result = step(
        *("plan", "--images", touching / "a.ome.zarr"),
        *("--settings", touching / "settings.yaml", "--plan", tmp_path / "plan.yaml"),
    )
    assert result.returncode == 1
    assert "separated by 0 px, but separate_px is 1" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_labels_of_another_picture_are_refused(step, touching, archive, tmp_path):
    result = step(
        *("plan", "--images", archive / "a.ome.zarr", "--labels", touching / "apart.ome.zarr"),
        *("--settings", touching / "settings.yaml", "--plan", tmp_path / "plan.yaml"),
    )
    assert result.returncode == 1
    assert "its picture" in result.stderr and "same order" in result.stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("sigma_px: 0", "sigma_px is 0; allowed: above 0, finite"),
        ("w0: .inf", "w0 is inf; allowed: above 0, finite"),
        ("border_tolerance: 2", "border_tolerance is 2; allowed: above 0, below 1"),
        ("sigma_um: -1.0", "sigma_um is -1.0; allowed: above 0, finite"),
        ("dropout: 1.0", "dropout is 1.0; allowed: 0 and above, below 1"),
    ],
)
def test_a_setting_out_of_range_is_one_line(step, archive, tmp_path, line, message):
    (tmp_path / "settings.yaml").write_text(line)
    result = step(
        *("plan", "--images", archive / "a.ome.zarr"),
        *("--settings", tmp_path / "settings.yaml", "--plan", tmp_path / "plan.yaml"),
    )
    assert result.returncode == 1 and message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("weights", ["[-3.0, 1.0]", "[abc, 1.0]", "[1.0, 1.0, 1.0]", "[.nan, 1.0]"])
def test_an_edited_plan_with_weights_that_make_no_sense_is_one_line(
    step, planned, tmp_path, weights
):
    plan = yaml.safe_load((planned / "plan.yaml").read_text())
    plan["weights"]["class_weights"] = yaml.safe_load(weights)
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    labels = planned / "a.ome.zarr" / "labels" / "reference"
    result = step(
        *("weigh", "--labels", labels, "--plan", tmp_path / "plan.yaml"),
        *("--weights", tmp_path / "w.zarr"),
    )
    assert result.returncode == 1 and "class_weights" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_labels_separated_in_planes_do_not_pass_for_volumes(step, done, data, tmp_path):
    source = data / "stardist_samples"
    store, target = tmp_path / "v.ome.zarr", tmp_path / "flat.ome.zarr"
    reference = store / "labels" / "reference"
    done("ingest", "--image", source / "img3d.tif", "--store", store)
    mask = ("--labels", source / "mask3d.tif", "--kind", "instances")
    done("ingest", *mask, "--store", reference)
    done("separate", "--labels", reference, "--separated", target, "--ndim", "2")
    (tmp_path / "settings.yaml").write_text("{ndim: 3, depth: 2, tile_px: [8, 8, 8]}")
    result = step(
        *("plan", "--images", store, "--labels", target),
        *("--settings", tmp_path / "settings.yaml", "--plan", tmp_path / "plan.yaml"),
    )
    assert result.returncode == 1
    assert "separated in 2 dimensions, the network has 3" in result.stderr


def plan_of(done, archive, path, train, validation=(), groups=(), settings=None):
    """plan.yaml of slides in the order given."""
    stores = {name: archive / f"{name}.ome.zarr" for name in (*train, *validation)}
    done(
        *("plan", "--images", *(stores[name] for name in train)),
        *("--validation", *(stores[name] for name in validation)),
        *(("--groups", *groups) if groups else ()),
        *("--settings", settings or archive / "settings.yaml", "--plan", path),
    )
    return path.read_bytes()


def test_the_order_of_slides_changes_no_plan(done, archive, tmp_path):
    first = plan_of(done, archive, tmp_path / "1.yaml", "ab", "c", ["mouse 1", "mouse 2"])
    assert first == plan_of(done, archive, tmp_path / "2.yaml", "ba", "c", ["mouse 2", "mouse 1"])
    plan = read_plan(tmp_path / "2.yaml")
    assert plan.folds == (Fold(("a", "b"), ("c",)),)
    assert [known.slide for known in plan.slides] == ["a", "b", "c"]
    settings = tmp_path / "settings.yaml"
    settings.write_text("{folds: 2, tile_px: [64, 64], depth: 2}")
    for number, (train, groups) in enumerate({"cab": "xxy", "bca": "yxx", "abc": "xyx"}.items()):
        path = tmp_path / f"{number}.yaml"
        plan_of(done, archive, path, train, groups=groups, settings=settings)
        assert read_plan(path).folds == (Fold(("b",), ("a", "c")), Fold(("a", "c"), ("b",)))


@pytest.fixture(scope="module")
def twins(done, archive, data, tmp_path_factory):
    """Folder with slides a and b of one picture."""
    folder, source = tmp_path_factory.mktemp("twins"), data / "em_isbi2012"
    for name in "ab":
        store = folder / f"{name}.ome.zarr"
        done("ingest", "--image", source / "image" / "00.png", "--store", store)
        label = ("--labels", source / "label" / "00.png", "--kind", "binary")
        done("ingest", *label, "--store", store / "labels" / "reference")
    return folder


def test_a_picture_under_two_names_is_not_learnt_from_and_validated_on(
    step, done, archive, twins, tmp_path
):
    one, other = (twins / f"{name}.ome.zarr" for name in "ab")
    two_folds = tmp_path / "settings.yaml"
    two_folds.write_text("{folds: 2, tile_px: [64, 64], depth: 2}")
    flags = ("--plan", tmp_path / "plan.yaml", "--settings")
    for given in (
        ("--images", one, "--validation", other, *flags, archive / "settings.yaml"),
        ("--images", one, other, *flags, two_folds),
    ):
        result = step("plan", *given)
        assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
        assert "is the same picture as slide" in result.stderr
        assert "slide a" in result.stderr and "slide b" in result.stderr
        assert not (tmp_path / "plan.yaml").exists()
    done("plan", "--images", one, other, *flags, archive / "settings.yaml")


def test_two_slides_of_one_name_are_refused(step, archive, twins, tmp_path):
    result = step(
        *("plan", "--images", twins / "a.ome.zarr", "--validation", archive / "a.ome.zarr"),
        *("--settings", archive / "settings.yaml", "--plan", tmp_path / "plan.yaml"),
    )
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
    assert "slide a: is given 2 times" in result.stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{width: 2000}", "width is 2000; allowed: 1 to 1024"),
        ("{depth: 100}", "depth is 100; allowed: 1 to 7"),
        (
            "{width: 1024, depth: 6}",
            "parameters as a U-Net (valid convolutions, 6 levels, width 1024, normalisation none); "
            "allowed: ",
        ),
        ("{augmentation: {noise: -1}}", "settings.yaml, augmentation: noise is -1; allowed: 0 and"),
        ("{augmentation: {noises: 1}}", "unknown key 'noises'; did you mean 'noise'?"),
        ("{seed: &s 1, folds: *s}", "has an anchor or alias"),
    ],
)
def test_a_network_that_cannot_be_is_refused_while_planning(step, archive, tmp_path, line, message):
    (tmp_path / "settings.yaml").write_text(line)
    result = step(
        *("plan", "--images", archive / "a.ome.zarr"),
        *("--settings", tmp_path / "settings.yaml", "--plan", tmp_path / "plan.yaml"),
    )
    assert result.returncode == 1 and message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
