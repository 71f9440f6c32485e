"""What a step writes is never what it reads, or a part of it; what lies beside may be."""

import argparse
import json

import pytest

from overtile import cli
from overtile.errors import InputError
from overtile.outputs import FOLD, PACKAGE, STORE, file, refuse_overwriting


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Look at a command line of a step of inputs and outputs of all kinds."""
    monkeypatch.chdir(tmp_path)

    def run(*command):
        parser = argparse.ArgumentParser(prog="step.py", fromfile_prefix_chars="@")
        parser.add_argument("--in", type=cli.path, nargs="+")
        parser.add_argument("--source", type=cli.path)
        kinds = {"store": STORE, "fold": FOLD, "package": PACKAGE}
        kinds |= {
            "json": file(".json"),
            "tsv": file(".tsv"),
            "crate": file("crate-x.json", ".json"),
        }
        kinds |= {"plan": file(".yaml", only_with="source")}
        for name, kind in kinds.items():
            parser.add_argument(f"--{name}", type=kind)
        words = [str(word) for word in command]
        refuse_overwriting(parser, parser.parse_args(words), words)

    return run


@pytest.fixture
def refused(check):
    def run(words, *command):
        with pytest.raises(InputError, match=words):
            check(*command)

    return run


@pytest.fixture
def slide(tmp_path):
    """A finished store with labels inside, one of whose names is a number."""
    store = tmp_path / "s.ome.zarr"
    for folder in ("", "0", "labels", "labels/reference", "labels/2024"):
        (store / folder).mkdir()
        (store / folder / "zarr.json").write_text("{}")
    return store


@pytest.mark.parametrize("name", ["reference", "m", "2024", "m/zarr.json", "2024/zarr.json"])
def test_labels_may_be_written_inside_the_store_of_their_picture(check, slide, name):
    check("--in", slide, "--store", slide / "labels" / name)


@pytest.mark.parametrize("name", ["0", "1", "classes", "work", "0/c", "labels/m/0"])
def test_nothing_is_written_among_the_pixels_of_an_input(refused, check, slide, name):
    if name == "labels/m/0":
        check("--store", slide / name)
        (slide / "labels" / "m").mkdir()
        (slide / "labels" / "m" / "zarr.json").write_text("{}")
    refused("--store would be inside the store", "--in", slide, "--store", slide / name)


def test_an_input_may_lie_inside_a_store_that_is_written_but_not_among_its_files(
    check, refused, slide
):
    check("--in", slide / "labels" / "reference", "--store", slide)
    check("--in", slide / "raw.tif", "--store", slide)
    refused("--store would overwrite --in", "--in", slide / "0", "--store", slide)


def test_of_many_inputs_any_one_counts(refused, tmp_path):
    many = [tmp_path / f"{number}.json" for number in range(100)]
    refused(f"--json is also --in {many[77]}", "--in", *many, "--json", many[77])


def test_a_file_of_two_names_is_one(refused, tmp_path):
    (tmp_path / "a.json").touch()
    (tmp_path / "b.json").hardlink_to(tmp_path / "a.json")
    (tmp_path / "c.json").symlink_to(tmp_path / "a.json")
    for name in ("b.json", "c.json", "d/../a.json"):
        refused(f"{name}: --json is also --in a.json", "--in", "a.json", "--json", name)


def test_arguments_in_a_file_count_as_does_the_file(refused, tmp_path):
    (tmp_path / "list.json").write_text("--in\na.json\nb.json\n")
    refused("--json is also --in b.json", "@list.json", "--json", "b.json")
    refused("--json is also @FILE list.json", "@list.json", "--json", "list.json")


def test_two_outputs_are_two(check, refused):
    refused("--json is also --crate", "--json", "crate-x.json", "--crate", "crate-x.json")
    refused("--store is also --fold", "--store", "a", "--fold", "b/../a")
    refused("--fold would overwrite --json f/a.json", "--json", "f/a.json", "--fold", "f")
    refused("--store is also --json", "--json", "s/zarr.json", "--store", "s")
    check("--json", "s/a.json", "--store", "s", "--fold", "s/labels")


@pytest.mark.parametrize(
    ("kind", "name", "harmed"),
    [("package", "plan.yaml", True), ("package", "raw.tif", False)]
    + [("fold", "fold.json", True), ("fold", "plan.yaml", False)],
)
def test_an_input_in_a_folder_that_is_written_is_refused_if_it_would_be_overwritten(
    check, refused, kind, name, harmed
):
    command = ("--in", f"folder/{name}", f"--{kind}", "folder")
    if harmed:
        refused(f"folder: --{kind} would overwrite --in folder/{name}; choose", *command)
    else:
        check(*command)


def test_a_path_counts_as_output_only_with_the_flag_that_makes_it_one(check, refused):
    check("--plan", "p.yaml", "--in", "p.yaml")
    refused("p.yaml: --plan is also --in", "--plan", "p.yaml", "--in", "p.yaml", "--source", "s")


def test_a_file_that_an_input_folder_has_is_not_overwritten(check, refused, tmp_path):
    (tmp_path / "scores").mkdir()
    for name in ("a.json", "history.tsv"):
        (tmp_path / "scores" / name).write_text("{}")
    refused("would overwrite a file in --in scores", "--in", "scores", "--json", "scores/a.json")
    refused("would overwrite a file in", "--in", "scores", "--tsv", "scores/history.tsv")
    check("--in", "scores", "--json", "scores/new.json")
    check("--json", "scores/a.json")


def test_what_an_earlier_run_has_written_into_an_input_folder_may_be_written_again(
    check, refused, tmp_path
):
    for name in ("scores.tsv", "crate-x.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "run.json").write_text(json.dumps({"script": "step.py"}))
    (tmp_path / "other.json").write_text(json.dumps({"script": "another.py"}))
    check("--in", ".", "--tsv", "scores.tsv", "--crate", "crate-x.json", "--json", "run.json")
    refused("would overwrite a file in", "--in", ".", "--json", "other.json")
    refused("would overwrite a file in", "--in", ".", "--crate", "other.json")


@pytest.mark.parametrize("name", ["a", "a.txt", "json", "a.json.gz"])
def test_the_ending_says_what_is_written(check, refused, name):
    refused(f"^{name}: --json is a file of an unknown kind; .* .json$", "--json", name)
    check("--json", "A.JSON")
    check("--store", name)


def test_a_link_in_a_circle_is_a_path_like_any_other(check, tmp_path):
    (tmp_path / "a.json").symlink_to("b.json")
    (tmp_path / "b.json").symlink_to("a.json")
    check("--in", "c.json", "--json", "a.json")
