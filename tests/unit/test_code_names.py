"""The table of names of code: what `--same` writes into it."""

import shutil

import pytest

from overtile import code_digest
from tests import code_names


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A copy of the scripts with a table of their own."""
    shutil.copytree(code_names.ROOT / "scripts", tmp_path / "scripts")
    monkeypatch.setattr(code_names, "ROOT", tmp_path)
    table = tmp_path / "scripts" / "overtile" / code_names.NAMES
    monkeypatch.setattr(code_names, "TABLE", table)
    return tmp_path


def names_today(step):
    known = {(of, digest): name for of, digest, name, _ in code_names.read_table()}
    digests = {
        chosen: code_names.raw_digest(code_names.ROOT / "scripts" / f"{step}.py", frozenset(chosen))
        for chosen in code_names.CHOICES[step]
    }
    return {chosen: known.get((f"{step}.py", digest)) for chosen, digest in digests.items()}


@pytest.mark.parametrize("step", ["segment", "train", "ingest", "evaluate"])
def test_the_same_results_keep_the_name_of_each_choice(project, step):
    before = names_today(step)
    script = project / "scripts" / f"{step}.py"
    text = script.read_text().replace("def run(args):", "def run(args):\n    tidied = len([])\n")
    script.write_text(text)
    code_digest.raw_digest.cache_clear()
    code_digest._module.cache_clear()
    assert set(names_today(step).values()) == {None}
    code_names.add_names(step, is_same=True)
    assert names_today(step) == before
    assert code_names.unnamed(step) == []


def test_a_choice_that_came_later_keeps_the_name_of_the_others(project):
    """A family of networks, beside the loss that training chose before there were families."""
    rows = ["first\tfirst", "loss\tloss\tcross_entropy", "dice\tdice\tcross_entropy_dice"]
    code_names.TABLE.write_text("".join(f"train.py\t{row}\n" for row in rows))
    code_names.add_names("train", is_same=True)
    assert names_today("train") == {
        ("cross_entropy", "unet", "layers"): "loss",
        ("cross_entropy_dice", "unet", "layers"): "dice",
    }
