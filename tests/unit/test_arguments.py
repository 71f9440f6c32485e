"""Files of arguments, and the order of slides in them, which has no meaning."""

from overtile_workflow.arguments import in_known_order, read_arguments, write_flags

FLAGS = {"--images": ["r/b.ome.zarr/zarr.json", "r/a.ome.zarr/zarr.json"], "--groups": ["x", "y"]}


def test_what_was_written_is_read_back(tmp_path):
    write_flags(tmp_path / "plan.args", FLAGS)
    assert read_arguments(tmp_path / "plan.args") == FLAGS
    assert read_arguments(tmp_path / "none.args") == {}


def test_a_list_of_the_same_slides_keeps_its_order():
    assert in_known_order(["a", "b"], FLAGS["--images"]) == ["b", "a"]


def test_other_slides_are_sorted():
    assert in_known_order(["c", "a", "b"], FLAGS["--images"]) == ["a", "b", "c"]
    assert in_known_order(["b"], FLAGS["--images"]) == ["b"]
    assert in_known_order(["b", "a"], []) == ["a", "b"]
