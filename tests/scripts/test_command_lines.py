"""What all scripts have in common."""

import importlib.util
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from overtile import cli
from overtile.outputs import Output

ROOT = Path(__file__).resolve().parents[2]

STEPS = sorted(p.stem for p in (ROOT / "scripts").glob("*.py"))


@pytest.mark.parametrize("name", STEPS)
def test_help_answers_without_heavy_imports(name):
    code = (
        "import os, runpy, sys; sys.argv = [sys.argv[1], '--help']\n"
        "sys.path.insert(0, os.path.dirname(sys.argv[0]))\n"
        "try:\n    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'numpy', 'torch', 'numba', 'zarr', 'scipy', 'dask', 'matplotlib'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    script = ROOT / "scripts" / f"{name}.py"
    result = subprocess.run(
        [sys.executable, "-c", code, str(script)], capture_output=True, text=True, cwd="/"
    )
    assert result.returncode == 0, result.stderr
    assert "usage:" in result.stdout


@pytest.mark.parametrize("name", STEPS)
def test_a_wrong_command_line_ends_with_code_2(step, name):
    assert step(name, "--no-such-flag").returncode == 2


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ingest", ["--image", "no.tif", "--store", "s"]),
        ("separate", ["--labels", "no.zarr", "--separated", "s.zarr"]),
        ("plan", ["--images", "no.ome.zarr", "--settings", "no.yaml", "--plan", "p.yaml"]),
        ("weigh", ["--labels", "no.zarr", "--weights", "w.zarr"]),
        ("train", ["--plan", "no.yaml", "--images", "i", "--weights", "w", "--model", "m"]),
        ("package", ["--plan", "no.yaml", "--folds", "f", "--package", "p"]),
        ("predict", ["--image", "no.zarr", "--model", "m", "--probabilities", "p"]),
        ("segment", ["--probabilities", "no.zarr", "--segmentation", "s"]),
        ("export", ["--segmentation", "no.zarr", "--geojson", "o.geojson", "--tiff", "o.tif"]),
        ("view", ["--store", "no.ome.zarr"]),
        ("evaluate", ["--reference", "no", "--segmentation", "no", "--scores", "s.json"]),
    ],
)
def test_a_missing_file_is_one_line_with_its_name_and_exit_code_1(step, name, arguments, tmp_path):
    result = step(name, *arguments, cwd=tmp_path)
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert "no" in result.stderr
    assert result.stderr.startswith(f"{name}.py: ")
    assert list(tmp_path.iterdir()) == []


@cache
def load(name):
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(f"step_{name}", ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parser_of(name):
    parser = load(name).build_parser()
    cli.add_record(parser)
    return parser


def path_flags(name):
    """The flags of a script that take paths."""
    actions = parser_of(name)._actions
    return [one for one in actions if one.type is cli.path or isinstance(one.type, Output)]


FLAGS = [(name, action) for name in STEPS for action in path_flags(name)]
OUTPUTS = [(name, action) for name, action in FLAGS if isinstance(action.type, Output)]
ID = {"ids": lambda value: getattr(value, "option_strings", [value])[-1]}


@pytest.mark.parametrize(("name", "action"), FLAGS, **ID)
def test_a_flag_that_is_written_says_so_by_its_type(name, action):
    is_written = any(word in action.help for word in ("to write", "written by --", "is to say"))
    is_folder = (name, action.dest) in {("train", "model"), ("ingest", "store")}
    assert isinstance(action.type, Output) == (is_written or is_folder)


def others(name, action):
    """The flags with paths that may stand beside an output."""
    parser = parser_of(name)
    groups = [
        {one.dest for one in group._group_actions} for group in parser._mutually_exclusive_groups
    ]
    beside = {action.dest, *filter(None, [action.type.only_with])}
    for other in path_flags(name):
        exclusive = any({other.dest, one} <= group for one in beside for group in groups)
        if other.dest != action.dest and (not exclusive or other.dest in beside):
            yield other


PAIRS = [(name, action, other) for name, action in OUTPUTS for other in others(name, action)]


def named(folder, stem, action):
    """A path with the ending that an action wants."""
    endings = getattr(action.type, "endings", None) or [".zarr"]
    return folder / (stem + endings[0] if endings[0].startswith(".") else endings[0])


def fill(folder, name, **chosen):
    """A whole command line. chosen: paths by argument; all others that are needed are new ones."""
    parser = parser_of(name)
    arguments = {action.dest: action for action in parser._actions}
    needed = {one.dest for one in parser._actions if one.required and one.option_strings}
    for group in parser._mutually_exclusive_groups:
        members = [action.dest for action in group._group_actions]
        if group.required and not set(members) & set(chosen):
            needed.add(members[0])
    for dest in sorted(needed | set(chosen)):
        action = arguments[dest]
        value = 1 if action.type is int else named(folder, dest, action)
        yield from (action.option_strings[-1], str(chosen.get(dest, value)))


def make_input(folder, action):
    """A file, or a finished store, that could be what an output is called."""
    path = named(folder, "mine", action)
    if action.type.endings:
        path.write_text("precious")
    else:
        path.mkdir()
        (path / "zarr.json").write_text("{}")
    return path


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files}


@pytest.mark.parametrize("disguise", ["same", "link", "hard link", "other words", "root"])
@pytest.mark.parametrize(("name", "action", "other"), PAIRS, **ID)
def test_no_output_is_any_other_path(name, action, other, disguise, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = again = make_input(tmp_path, action)
    if disguise == "link":
        again = tmp_path / f"link-{path.name}"
        again.symlink_to(path)
    elif disguise == "hard link" and path.is_file():
        again = tmp_path / f"link-{path.name}"
        again.hardlink_to(path)
    elif disguise == "other words":
        again = Path(os.path.relpath(tmp_path.parent)) / tmp_path.name / path.name
    elif disguise == "root" and path.is_dir():
        again = path / "zarr.json"
    chosen = {action.dest: path, other.dest: again}
    if action.type.only_with:
        chosen.setdefault(action.type.only_with, tmp_path / "source")
    before = contents(tmp_path)
    assert load(name).main(list(fill(tmp_path, name, **chosen))) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{name}.py: ")
    for flag in (action, other):
        assert flag.option_strings[-1] in line
    assert path.name in line and line.endswith("; choose another path")
    assert contents(tmp_path) == before


ENDED = [(name, action) for name, action in OUTPUTS if action.type.endings]


@pytest.mark.parametrize(("name", "action"), ENDED, **ID)
def test_an_output_of_an_unknown_kind_is_refused(name, action, tmp_path, capsys):
    path = tmp_path / "mine.docx"
    chosen = {action.dest: path}
    if action.type.only_with:
        chosen[action.type.only_with] = tmp_path / "source"
    assert load(name).main(list(fill(tmp_path, name, **chosen))) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{name}.py: {path}: {action.option_strings[-1]} ")
    assert all(ending in line for ending in action.type.endings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "action"), OUTPUTS, **ID)
@pytest.mark.parametrize("part", ["zarr.json", "0/c/0", "effort.json"])
def test_no_output_lies_among_the_files_of_a_store(name, action, part, tmp_path, capsys):
    store = tmp_path / "s.ome.zarr"
    for file in ("zarr.json", "effort.json", "0/zarr.json", "0/c/0"):
        (store / file).parent.mkdir(parents=True, exist_ok=True)
        (store / file).write_text("precious")
    if not action.type.endings and part == "zarr.json":
        part = "0/zarr.json"  # a store's root file stands for the store
    chosen = {action.dest: store / part}
    if action.type.only_with:
        chosen[action.type.only_with] = tmp_path / "source"
    before = contents(tmp_path)
    assert load(name).main(list(fill(tmp_path, name, **chosen))) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{action.option_strings[-1]} would be inside the store {store}" in line
    assert contents(tmp_path) == before
