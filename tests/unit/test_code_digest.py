"""The digest of a step changes with what it computes, and with nothing else."""

import ast
from pathlib import Path

import pytest

from overtile import code_digest as module
from overtile.code_digest import code_digest

ROOT = Path(__file__).resolve().parents[2]
STEPS = ("ingest", "plan", "weigh", "train", "package", "predict", "segment", "evaluate", "report")

SOURCES = {
    "step.py": '''"""A step."""
import sys
from overtile import cli

def run(args):
    """Read and write."""
    from overtile.stores.writer import write
    write(args)
''',
    "overtile/__init__.py": '"""The library."""\n',
    "overtile/cli.py": "EXIT = 1\n",
    "overtile/progress.py": "SECONDS = 20\n",
    "overtile/provenance.py": "VERSION = 1\n",
    "overtile/networks/__init__.py": '"""Networks."""\n',
    "overtile/networks/gpus.py": "SECONDS = 1\n",
    "overtile/networks/sight.py": "MEND = 1\n",
    "overtile/networks/device.py": """from overtile.networks.gpus import SECONDS
from overtile.networks import sight
THREADS = SECONDS, sight.MEND, 4
""",
    "overtile/stores/__init__.py": '"""Stores."""\n',
    "overtile/stores/writer.py": '''"""Write."""
from overtile.progress import progress
from overtile.stores import layout

def write(args):
    from overtile.networks import device
    progress(layout.EDGE_PX)
''',
    "overtile/stores/layout.py": "import overtile.geometry\nEDGE_PX = 256\n",
    "overtile/geometry/__init__.py": "FACTOR = 2\n",
    "overtile/stores/unrelated.py": "NUMBER = 1\n",
}


@pytest.fixture
def digest(tmp_path):
    """Digest of the little step after a change: digest(file, old, new), or digest() as it is."""
    count = 0

    def of(name=None, old="", new=""):
        nonlocal count
        count += 1
        for file, text in SOURCES.items():
            if file == name:
                assert old in text
                text = text.replace(old, new, 1)
            path = tmp_path / str(count) / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return code_digest(tmp_path / str(count) / "step.py")

    return of


def test_the_same_code_in_another_folder_has_the_same_digest(digest):
    assert digest() == digest()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("step.py", '"""A step."""', '"""A step, told\nin other words."""'),
        ("step.py", '    """Read and write."""\n', ""),
        ("step.py", "import sys\n", "import sys  # of no use\n\n\n"),
        ("overtile/stores/layout.py", "EDGE_PX = 256", "EDGE_PX = (\n    256\n)"),
        ("overtile/stores/writer.py", "write(args):", "write( args ):\n    # a comment"),
        ("overtile/stores/__init__.py", "Stores.", "All stores."),
    ],
)
def test_comments_docstrings_and_formatting_change_nothing(digest, file, old, new):
    assert digest(file, old, new) == digest()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("step.py", "write(args)", "write(None)"),
        ("overtile/stores/writer.py", "progress(layout", "progress(1 + layout"),
        ("overtile/stores/layout.py", "256", "255"),
        ("overtile/geometry/__init__.py", "2", "3"),
        ("overtile/networks/device.py", "4", "8"),
        ("overtile/stores/__init__.py", '"""Stores."""', "import os"),
    ],
)
def test_a_change_in_any_module_that_is_reached_changes_the_digest(digest, file, old, new):
    assert digest(file, old, new) != digest()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("overtile/stores/unrelated.py", "1", "2"),
        ("overtile/cli.py", "1", "2"),
        ("overtile/progress.py", "20", "30"),
        ("overtile/provenance.py", "1", "2"),
        ("overtile/networks/gpus.py", "1", "2"),
        ("overtile/networks/sight.py", "1", "2"),
    ],
)
def test_unrelated_modules_command_lines_and_progress_do_not_count(digest, file, old, new):
    assert digest(file, old, new) == digest()


def test_an_import_inside_a_function_counts(digest):
    lazy = "    from overtile.stores.writer import write\n    write(args)\n"
    assert lazy in SOURCES["step.py"]
    without = "    print(args)\n"
    assert digest("step.py", lazy, without) != digest()
    assert digest("overtile/stores/writer.py", "EDGE_PX", "EDGE") != digest()


def test_each_file_is_parsed_once(digest, monkeypatch):
    parsed = []
    parse = module.ast.parse
    monkeypatch.setattr(module.ast, "parse", lambda text: parsed.append(text) or parse(text))
    digest()
    assert len(parsed) == len(set(parsed)) > 4


@pytest.mark.parametrize("path", sorted(ROOT.glob("scripts/**/*.py")), ids=lambda p: p.name)
def test_imports_are_those_that_a_look_at_every_node_finds(path):
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    assert set(module.imports(path)) == found


@pytest.mark.parametrize(
    "block",
    [
        "if 1:\n    {}",
        "if 1:\n    pass\nelse:\n    {}",
        "for i in ():\n    pass\nelse:\n    {}",
        "while 0:\n    {}",
        "try:\n    {}\nfinally:\n    pass",
        "try:\n    pass\nexcept OSError:\n    {}",
        "try:\n    pass\nfinally:\n    {}",
        "with open(0):\n    {}",
        "match 1:\n    case 1:\n        {}",
        "class A:\n    async def f(self):\n        {}",
    ],
)
def test_an_import_counts_in_every_kind_of_block(tmp_path, block):
    (tmp_path / "step.py").write_text(block.format("import overtile.stores") + "\n")
    assert module.imports(tmp_path / "step.py") == ("overtile.stores",)


def test_each_file_is_searched_for_imports_once(digest, monkeypatch, tmp_path):
    digest()
    searched = []
    monkeypatch.setattr(module, "_tree", lambda file: searched.append(file))
    code_digest(tmp_path / "1" / "step.py")
    assert searched == []


def test_modules_that_import_each_other_end(digest):
    text = "import overtile.stores.writer\nFACTOR = 2"
    assert digest("overtile/geometry/__init__.py", "FACTOR = 2", text) != digest()


def test_a_string_that_is_used_is_no_docstring(digest):
    one = digest("overtile/stores/layout.py", "256", "'''one'''")
    two = digest("overtile/stores/layout.py", "256", "'''two'''")
    assert one != two


def test_steps_that_compute_other_things_have_other_digests():
    digests = {code_digest(ROOT / "scripts" / f"{name}.py") for name in STEPS}
    assert len(digests) == len(STEPS)


@pytest.mark.parametrize("name", sorted(module.LEFT_OUT))
def test_what_is_left_out_exists_or_is_named_for_nothing(name):
    assert (ROOT / "scripts" / Path(*name.split("."))).with_suffix(".py").is_file()
