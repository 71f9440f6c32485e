"""The table of edits: what an update may change without making a result again."""

import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from overtile.code_digest import code_digest
from tests.code_names import CHOICES
from tests.edits import WITH_EFFECT, WITHOUT_EFFECT

ROOT = Path(__file__).resolve().parents[2]
TRAINING = {"separate", "plan", "weigh", "train", "package"}
"""Steps towards a model: their digests may change, no rule looks at them."""


@pytest.fixture
def project(tmp_path):
    """A copy of what edits change."""
    for part in ("scripts", "workflow"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def digests(root: Path) -> dict[tuple, str]:
    """The digest of every step whose results archives keep, by what it chooses."""
    return {
        (step, *chosen): code_digest(root / "scripts" / f"{step}.py", chosen)
        for step, choices in CHOICES.items()
        for chosen in choices
    }


@pytest.mark.parametrize("name", WITHOUT_EFFECT)
def test_an_edit_without_effect_changes_no_digest(project, name):
    before = digests(ROOT)
    for edit in WITHOUT_EFFECT[name]:
        edit(project)
    changed = {step for step, digest in digests(project).items() if digest != before[step]}
    assert {step for step, *_ in changed} <= (TRAINING if "training" in name else set())


@pytest.mark.parametrize("name", WITH_EFFECT)
def test_changed_arithmetic_changes_the_digest_of_its_step(project, name):
    step, edit = WITH_EFFECT[name]
    before = digests(ROOT)
    edit(project)
    changed = {of for (of, *_), digest in digests(project).items() if digest != before[of, *_]}
    assert step in changed


def test_settings_that_were_there_from_the_start_stand_in_keys_in_any_case():
    from overtile.settings.keys import key_values
    from overtile.settings.prediction import Wanted
    from overtile.settings.segmentation import Segmenting

    for settings in (Segmenting(), Wanted(), Segmenting(0.4, 0.6, border_px=3)):
        assert key_values(settings) == asdict(settings)


def test_a_later_setting_stands_in_keys_only_where_it_is_not_its_default():
    from dataclasses import dataclass
    from typing import ClassVar

    from overtile.settings.keys import key_values

    @dataclass
    class Settings:
        FIRST: ClassVar = frozenset(("old",))
        old: int = 1
        new: int = 0

    assert key_values(Settings()) == {"old": 1}
    assert key_values(Settings(new=2)) == {"old": 1, "new": 2}
