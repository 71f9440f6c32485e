"""Work that is left for later stages is removed whole, also by the run after a kill."""

import os

import numpy as np
import pytest

from overtile.stores import layout
from overtile.stores.scratch import NAME, Scratch, remove_scratch


class KilledError(Exception):
    """Stands for a job that dies."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A store's folder with a label store's classes, and two stages of four blocks."""
    monkeypatch.setattr(layout, "PICTURE_CHUNK", (1, 4, 4))
    monkeypatch.setattr(layout, "PICTURE_SHARD", (1, 4, 4))
    (tmp_path / "classes").mkdir()
    begin(tmp_path, "k")
    return tmp_path


def begin(folder, key):
    """Write two stages."""
    scratch = Scratch(folder, key, (1, 8, 8))
    for stage in ("first", "second"):
        scratch.add(lambda: np.uint8, lambda block: np.ones(block.shape, np.uint8), label=stage)


def remove_and_die(folder, monkeypatch, deletions):
    """Remove scratch, and die when so many files and folders are gone; say whether it did."""
    left = [deletions] * deletions

    def counted(remove):
        def some(*arguments, **options):
            if not left:
                raise KilledError
            left.pop()
            remove(*arguments, **options)

        return some

    with monkeypatch.context() as patch:
        for name in ("unlink", "rmdir"):
            patch.setattr(os, name, counted(getattr(os, name)))
        try:
            remove_scratch(folder)
        except KilledError:
            return True
    return False


@pytest.mark.parametrize("is_begun_again", [True, False])
def test_a_kill_amid_the_removal_of_work_leaves_nothing_for_good(
    folder, monkeypatch, is_begun_again
):
    kills = 0
    while remove_and_die(folder, monkeypatch, kills):
        if is_begun_again:
            begin(folder, f"key {kills}")
        remove_scratch(folder)
        assert [path.name for path in folder.iterdir()] == ["classes"]
        begin(folder, "k")
        kills += 1
    assert kills > 2 * 4
    assert not (folder / NAME).exists()


def test_a_numbered_folder_of_somebody_in_the_work_is_left_alone(folder):
    mine = folder / NAME / "2023" / "thesis.txt"
    mine.parent.mkdir()
    mine.write_text("precious")
    remove_scratch(folder)
    assert mine.read_text() == "precious"
    assert [path.name for path in (folder / NAME).iterdir()] == ["2023"]


def test_the_work_folder_of_somebody_is_left_alone(tmp_path):
    mine = tmp_path / NAME / "thesis.txt"
    mine.parent.mkdir()
    mine.write_text("precious")
    remove_scratch(tmp_path)
    assert mine.read_text() == "precious"
