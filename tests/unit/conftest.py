"""What tests of several packages share."""

import json
from pathlib import Path

import pytest

from tests.scores import score_values


@pytest.fixture
def score_folder(tmp_path: Path) -> Path:
    """Score files of three slides: a bad one, a good one, one without objects."""
    folder = tmp_path / "scores" / "unet"
    folder.mkdir(parents=True)
    for name, f1 in {"a": 0.2, "b": 0.9, "c": None}.items():
        (folder / f"{name}.json").write_text(json.dumps(score_values(name, f1)))
    return folder.parent
