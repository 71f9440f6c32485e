"""Files of arguments, and the order of slides in them, which has no meaning."""

from overtile_workflow.arguments import in_known_order, read_arguments, write_flags

FLAGS = {"--images": ["r/b.ome.zarr/zarr.json", "r/a.ome.zarr/zarr.json"], "--groups": ["x", "y"]}


def test_what_was_written_is_read_back(tmp_path):
    write_flags(tmp_path / "plan.args", FLAGS)
    assert read_arguments(tmp_path / "plan.args", tmp_path / "memory") == FLAGS
    assert read_arguments(tmp_path / "none.args", tmp_path / "memory") == {}


def test_what_was_read_is_known_after_snakemake_has_removed_it(tmp_path):
    path, memory = tmp_path / "plan.args", tmp_path / "memory"
    for flags in (FLAGS, {"--images": ["c"]}):
        write_flags(path, flags)
        read_arguments(path, memory)
        path.unlink()
        assert read_arguments(path, memory) == flags
    assert len(list(memory.iterdir())) == 1


def test_a_list_of_the_same_slides_keeps_its_order():
    assert in_known_order(["a", "b"], FLAGS["--images"]) == ["b", "a"]


def test_other_slides_are_sorted():
    assert in_known_order(["c", "a", "b"], FLAGS["--images"]) == ["a", "b", "c"]
    assert in_known_order(["b"], FLAGS["--images"]) == ["b"]
    assert in_known_order(["b", "a"], []) == ["a", "b"]
