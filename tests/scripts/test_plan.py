"""Plan: what it resolves, and what it refuses."""

import yaml


def test_a_plan_holds_sizes_class_weights_and_the_slides_fingerprints(planned):
    plan = yaml.safe_load((planned / "plan.yaml").read_text())
    assert plan["classes"] == ["membrane", "cell"]
    assert plan["folds"] == [{"train": ["a", "b"], "validation": ["c"]}]
    assert [s["slide"] for s in plan["slides"]] == ["a", "b", "c"]
    assert all(o >= 64 for o in plan["tile_output_px"])
    counts = [sum(s["class_counts"][c] for s in plan["slides"][:2]) for c in (0, 1)]
    weighted = [n * w for n, w in zip(counts, plan["weights"]["class_weights"], strict=True)]
    assert abs(weighted[0] - weighted[1]) < 1e-4 * sum(counts)


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
