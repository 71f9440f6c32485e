"""The digest of a step changes with what it computes, and with nothing else."""

import ast
from pathlib import Path

import pytest

from overtile import code_digest as module
from overtile.code_digest import code_digest, first_name, raw_digest, reached

ROOT = Path(__file__).resolve().parents[2]
STEPS = ("ingest", "plan", "weigh", "train", "package", "predict", "segment", "evaluate", "report")

SOURCES = {
    "step.py": '''"""A step."""
import sys
from overtile import cli

def build_parser():
    return "--flag: a help text"

def run(args):
    """Read and write."""
    from overtile.stores.writer import write
    write(args, label="so it says")

def main():
    cli.execute(run)

if __name__ == "__main__":
    sys.exit(main())
''',
    "overtile/__init__.py": '"""The library."""\n',
    "overtile/cli.py": "EXIT = 1\n",
    "overtile/progress.py": "SECONDS = 20\ndef progress(n): ...\n",
    "overtile/errors.py": "class InputError(Exception): ...\n",
    "overtile/registry.py": "class Registry(dict): ...\n",
    "overtile/settings/__init__.py": "",
    "overtile/settings/model.py": "class Settings:\n    width: int = 3\n",
    "overtile/networks/__init__.py": '"""Networks."""\n',
    "overtile/networks/gpus.py": "SECONDS = 1\n",
    "overtile/networks/device.py": """from overtile.networks import gpus
from overtile.settings.model import Settings

def threads():
    return gpus.SECONDS, Settings().width, 4
""",
    "overtile/stores/__init__.py": '"""Stores."""\n',
    "overtile/stores/writer.py": '''"""Write."""
import math
from math import floor

from overtile.errors import InputError
from overtile.progress import progress
from overtile.readers import READERS
from overtile.stores import layout

UNIT = "px"
HINT = "look again"

def write(args, label):
    from overtile.networks.device import threads
    told = f"{args} is {UNIT}"
    if args is None:
        raise InputError(told + "; correct it" + hint(args))
    print("now it begins")
    progress(layout.EDGE_PX)
    return reader(args)(half(floor(threads())))

def half(n: int) -> int:
    return n / 2

def reader(args):
    return READERS.load(args)

def hint(args):
    return f"{args}: {HINT}"

def unused():
    return math.pi
''',
    "overtile/stores/layout.py": "EDGE_PX = 256\nUNUSED_PX = 3\n",
    "overtile/stores/unrelated.py": "NUMBER = 1\n",
    "overtile/readers.py": """from overtile.registry import Registry

READERS = Registry({".tif": "overtile.tiff:read_tiff", ".png": "overtile.png:read_png"})
""",
    "overtile/tiff.py": "def read_tiff(path):\n    return open(path, 1)\n",
    "overtile/png.py": "def read_png(path):\n    return open(path, 2)\n",
}


@pytest.fixture
def digest(tmp_path):
    """Digest of the little step after a change: digest(file, old, new), or digest() as it is."""
    count = 0

    def of(name=None, old="", new="", chosen=(".tif",), more=()):
        nonlocal count
        count += 1
        for file, text in SOURCES.items():
            if file == name:
                assert old in text
                text = text.replace(old, new, 1)
            path = tmp_path / str(count) / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for file, text in more:
            (tmp_path / str(count) / file).write_text(text)
        return code_digest(tmp_path / str(count) / "step.py", chosen)

    return of


def test_the_same_code_in_another_folder_has_the_same_digest(digest):
    assert digest() == digest()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        # comments, docstrings, formatting, type hints
        ("step.py", '"""A step."""', '"""A step, told\nin other words."""'),
        ("step.py", '    """Read and write."""\n', ""),
        ("step.py", "import sys\n", "import sys  # of no use\n\n\n"),
        ("overtile/stores/layout.py", "EDGE_PX = 256", "EDGE_PX = (\n    256\n)"),
        ("overtile/stores/layout.py", "EDGE_PX = 256", "EDGE_PX: int = 256"),
        ("overtile/stores/writer.py", "write(args, label):", "write( args, label ):\n    # a"),
        ("overtile/stores/writer.py", "half(n: int) -> int", "half(n: float)"),
        ("overtile/stores/__init__.py", "Stores.", "All stores."),
        # messages, and what is put together for them
        ("overtile/stores/writer.py", '"; correct it"', '"; please correct it"'),
        ("overtile/stores/writer.py", 'f"{args} is {UNIT}"', 'f"it is {args}"'),
        ("overtile/stores/writer.py", '"px"', '"pixels"'),
        ("overtile/stores/writer.py", 'f"{args}: {HINT}"', "HINT"),
        ("overtile/stores/writer.py", '"look again"', '"look elsewhere"'),
        ("overtile/stores/writer.py", 'print("now it begins")', 'print("it begins")'),
        ("step.py", 'label="so it says"', 'label="otherwise"'),
        (
            "overtile/stores/writer.py",
            "    progress(layout",
            '    print("more")\n    progress(layout',
        ),
        (
            "overtile/stores/writer.py",
            "    progress(layout",
            '    import logging\n\n    logging.info("%s", args)\n    progress(layout',
        ),
        # command lines, progress, settings
        ("step.py", "a help text", "another help text"),
        ("step.py", "cli.execute(run)", "return cli.execute(run)"),
        ("overtile/cli.py", "1", "2"),
        ("overtile/progress.py", "20", "30"),
        ("overtile/networks/gpus.py", "1", "2"),
        ("overtile/settings/model.py", "= 3\n", "= 3\n    depth: int = 4\n"),
        # what nothing here uses
        ("overtile/stores/unrelated.py", "1", "2"),
        ("overtile/stores/layout.py", "UNUSED_PX = 3", "UNUSED_PX = 4"),
        ("overtile/stores/writer.py", "math.pi", "math.e"),
        ("overtile/stores/writer.py", "def unused", "def other(): ...\n\ndef unused"),
        # what is not chosen
        ("overtile/png.py", "2", "3"),
        ("overtile/readers.py", "Registry({", 'Registry({".nii": "overtile.nifti:read", '),
        ("overtile/readers.py", ', ".png": "overtile.png:read_png"', ""),
    ],
)
def test_what_computes_nothing_here_changes_nothing(digest, file, old, new):
    assert digest(file, old, new) == digest()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("step.py", "write(args, ", "write(None, "),
        ("overtile/stores/writer.py", "n / 2", "n / 3"),
        ("overtile/stores/writer.py", "half(floor(", "half(-floor("),
        ("overtile/stores/writer.py", "import floor", "import ceil as floor"),
        ("overtile/stores/writer.py", "if args is None", "if args == 0"),
        ("overtile/stores/writer.py", "raise InputError(told", "raise KeyError(told"),
        ("overtile/stores/writer.py", "progress(layout", "progress(1 + layout"),
        ("overtile/stores/writer.py", 'f"{args} is {UNIT}"\n', 'f"{args}"\n    args = told\n'),
        ("overtile/stores/layout.py", "256", "255"),
        ("overtile/networks/device.py", "4", "8"),
        ("overtile/stores/writer.py", 'UNIT = "px"', 'math.tau = 3\nUNIT = "px"'),
        ("overtile/stores/layout.py", "UNUSED_PX = 3", "EDGE_PX += 1"),
        ("overtile/tiff.py", "1", "3"),
        ("overtile/readers.py", "overtile.tiff:read_tiff", "overtile.png:read_png"),
    ],
)
def test_changed_arithmetic_of_what_is_used_changes_the_digest(digest, file, old, new):
    assert digest(file, old, new) != digest()


def test_what_always_counts_in_a_registry_is_not_chosen(digest):
    old, new = '"overtile.png:read_png"})', '"overtile.png:read_png"}, always=(".png",))'
    always = digest("overtile/readers.py", old, new, chosen=())
    assert always != digest(chosen=())
    assert always == digest(chosen=(".png",))


def test_what_is_chosen_by_name_makes_the_digest(digest):
    assert digest(chosen=(".tif",)) != digest(chosen=(".png",))
    assert digest(chosen=(".png",)) != digest("overtile/png.py", "2", "3", chosen=(".png",))
    assert digest(chosen=(".tif", ".bmp")) == digest(chosen=(".tif",))


def test_a_function_that_moves_to_another_module_changes_nothing(digest):
    moved = "def half(n: int) -> int:\n    return n / 2\n"
    assert moved in SOURCES["overtile/stores/writer.py"]
    new = "from overtile.stores.halves import half\n"
    more = [("overtile/stores/halves.py", moved)]
    assert digest("overtile/stores/writer.py", moved, new, more=more) == digest()


def test_another_function_of_the_same_name_is_another_function(digest):
    moved = "def half(n: int) -> int:\n    return n / 2\n"
    new = "from overtile.stores.halves import half\n"
    more = [("overtile/stores/halves.py", moved.replace("n / 2", "n / 4"))]
    assert digest("overtile/stores/writer.py", moved, new, more=more) != digest()


@pytest.mark.parametrize(
    "block",
    [
        "if args:\n        {}",
        "for i in args:\n        pass\n    else:\n        {}",
        "while args:\n        {}",
        "try:\n        {}\n    finally:\n        pass",
        "try:\n        pass\n    except OSError:\n        {}",
        "with open(0):\n        {}",
        "match args:\n        case 1:\n            {}",
        "def inner():\n        {}",
    ],
)
def test_a_use_counts_in_every_kind_of_block(tmp_path, block):
    folder = tmp_path / "overtile"
    folder.mkdir()
    (folder / "numbers.py").write_text("ONE = 1\n")
    use = "from overtile.numbers import ONE; args + ONE"
    step = tmp_path / "step.py"
    step.write_text(f"def run(args):\n    {block.format(use)}\n")
    assert "overtile/numbers.py:ONE 0" in reached(step)


def test_definitions_that_use_each_other_end(digest):
    text = SOURCES["overtile/stores/writer.py"]
    assert "return n / 2" in text
    assert digest("overtile/stores/writer.py", "return n / 2", "return write(n, 2)") != digest()


def test_a_module_that_is_handed_on_counts_whole(digest):
    whole = ("overtile/stores/writer.py", "progress(layout.EDGE_PX)", "progress(layout)")
    more = [("overtile/stores/layout.py", "EDGE_PX = 256\nUNUSED_PX = 4\n")]
    assert digest(*whole) != digest(*whole, more=more)


def test_code_that_gives_the_same_results_has_one_name(digest, tmp_path):
    before = digest()
    after = digest("overtile/stores/writer.py", "n / 2", "n * 0.5")
    table = f"# comment\nstep.py\t{before}\tfirst\nstep.py\t{after}\tfirst\nother.py\t{after}\tno\n"
    more = [("overtile/code_names.tsv", table)]
    assert digest(more=more) == "first"
    assert digest("overtile/stores/writer.py", "n / 2", "n * 0.5", more=more) == "first"
    assert digest("overtile/stores/writer.py", "n / 2", "n / 4", more=more) not in ("first", "no")


def test_the_first_name_stays_whatever_the_code(digest, tmp_path):
    table = [("overtile/code_names.tsv", "step.py\t00\tfirst\nstep.py\t01\tsecond\n")]
    digest("overtile/stores/writer.py", "n / 2", "n / 4", more=table)
    assert first_name(tmp_path / "1" / "step.py") == "first"


def test_steps_that_compute_other_things_have_other_digests():
    digests = {raw_digest(ROOT / "scripts" / f"{name}.py") for name in STEPS}
    assert len(digests) == len(STEPS)


@pytest.mark.parametrize("name", sorted(module.LEFT_OUT))
def test_what_is_left_out_exists_or_is_named_for_nothing(name):
    path = ROOT / "scripts" / Path(*name.split("."))
    assert path.with_suffix(".py").is_file() or path.is_dir()


def test_every_function_that_computes_pixels_of_a_step_is_reached():
    found = reached(ROOT / "scripts" / "predict.py", frozenset({"unet", "layers"}))
    for place in (
        "overtile/networks/unet/layers.py:UNet",
        "overtile/networks/normalise.py:normalise",
        "overtile/prediction/tiles.py:predict_box",
        "overtile/geometry/spans.py:read_mirrored",
        "overtile/stores/writer.py:StoreWriter",
    ):
        assert f"{place} 0" in found


DEFINING = (
    *(ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign),
    ast.AnnAssign,
)
SHOWN_WHILE_WAITING = {"progress", "fill", "add"}
ABOUT_SCORES = {"Score", "Metric"}
COUNTED = sorted(
    file
    for file in (ROOT / "scripts").rglob("*.py")
    if "reporting" not in file.parts and file.name != "code_digest.py"
)


@pytest.mark.parametrize("file", COUNTED, ids=lambda file: file.name)
def test_no_step_has_code_that_the_digest_cannot_see(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in tree.body:
        is_kept_out = isinstance(node, ast.If) and ast.unparse(node.test) in module.NEVER_COUNTED
        assert isinstance(node, DEFINING) or is_kept_out or module.is_text(node), node.lineno
    imported = module._bindings(tree.body)
    assert not imported.keys() & {name for node in tree.body for name in module._bound(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.names[0].name != "*", node.lineno
        if isinstance(node, ast.Import):
            assert not any(n.name.startswith(f"{module.PACKAGE}.") for n in node.names)
        if isinstance(node, ast.Call):
            texts = module.TEXT_ARGUMENTS & {k.arg for k in node.keywords}
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            readers = SHOWN_WHILE_WAITING if texts == {"label"} else ABOUT_SCORES
            assert not texts or name in readers, node.lineno
