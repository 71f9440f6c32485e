"""Files from outside: a token that stands for their content, whatever their dates say."""

import hashlib
import json
import os

import pytest

from overtile_workflow.outside import UNNOTED, OutsideFiles

LONG_AGO = (1_000_000_000, 1_000_000_000)


@pytest.fixture
def archive(tmp_path):
    """A raw file, and what an archive says that it was made of."""

    class Archive:
        raw, made, record = tmp_path / "raw.tif", tmp_path / "made", tmp_path / "effort.json"
        ledger = tmp_path / ".snakemake" / "outside.json"

        def token(self):
            """As a run sees it, which then ends."""
            files = OutsideFiles(self.ledger)
            token = files.token(str(self.raw), str(self.made), str(self.record))
            files.keep()
            return token

        def make(self):
            """Make something of the file, and note of what."""
            digest = hashlib.sha256(self.raw.read_bytes()).hexdigest()
            runs = [{"inputs": {str(self.raw.resolve()): digest}}]
            self.record.write_text(json.dumps({"runs": runs}))
            self.made.touch()

    found = Archive()
    found.raw.write_bytes(b"pixels")
    return found


def test_a_file_that_stays_as_it_is_keeps_its_token(archive):
    before = archive.token()
    archive.make()
    assert archive.token() == archive.token() == before != UNNOTED


def test_another_file_of_the_same_size_and_an_older_date_has_another_token(archive):
    before = archive.token()
    archive.make()
    archive.raw.write_bytes(b"PIXELS")
    os.utime(archive.raw, LONG_AGO)
    after = archive.token()
    assert after != before
    archive.make()
    assert archive.token() == after


def test_a_content_that_comes_back_has_the_token_that_it_had(archive):
    before = archive.token()
    archive.make()
    archive.raw.write_bytes(b"others")
    other = archive.token()
    archive.raw.write_bytes(b"pixels")
    os.utime(archive.raw, LONG_AGO)
    assert archive.token() == before != other
    archive.raw.write_bytes(b"others")
    assert archive.token() == other
    archive.make()
    archive.raw.write_bytes(b"pixels")
    os.utime(archive.raw, (1, 1))
    assert archive.token() == before


def test_another_date_of_the_content_that_was_read_changes_nothing(archive):
    before = archive.token()
    archive.make()
    os.utime(archive.raw, LONG_AGO)
    assert archive.token() == before


def test_what_was_made_before_there_was_a_ledger_is_not_made_again(archive):
    archive.make()
    assert archive.token() == UNNOTED
    os.utime(archive.raw, LONG_AGO)
    assert archive.token() == UNNOTED
    archive.raw.write_bytes(b"other")
    os.utime(archive.raw, LONG_AGO)
    assert archive.token() != UNNOTED


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a": 1}', '{"runs": [{"inputs": 3}]}', "\0"])
def test_damaged_records_and_ledgers_are_as_none(archive, text):
    before = archive.token()
    archive.make()
    archive.record.write_text(text)
    os.utime(archive.raw, LONG_AGO)
    assert archive.token() != before
    archive.ledger.write_text(text)
    assert archive.token() == UNNOTED


def test_a_missing_file_has_no_token(archive):
    archive.raw.unlink()
    assert archive.token() == UNNOTED


def test_what_is_known_is_kept_where_the_run_began_wherever_it_ends(archive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = OutsideFiles(archive.ledger.relative_to(tmp_path))
    token = files.token(str(archive.raw), str(archive.made), str(archive.record))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    files.keep()
    archive.make()
    assert archive.token() == token != UNNOTED
    assert list(elsewhere.iterdir()) == []


def test_two_workflows_in_one_folder_keep_what_each_knows(archive, tmp_path):
    one, other = OutsideFiles(archive.ledger), OutsideFiles(archive.ledger)
    second = tmp_path / "second.tif"
    second.write_bytes(b"more")
    tokens = one.token(str(archive.raw), "no", "no"), other.token(str(second), "no", "no")
    one.keep()
    other.keep()
    archive.made.touch()
    after = OutsideFiles(archive.ledger)
    made = str(archive.made)
    assert tokens == (after.token(str(archive.raw), made, ""), after.token(str(second), made, ""))


def test_a_planted_link_is_not_followed(archive, tmp_path):
    target = tmp_path / "precious"
    target.write_text("precious")
    archive.ledger.parent.mkdir()
    archive.ledger.symlink_to(target)
    archive.token()
    assert target.read_text() == "precious"
    assert not archive.ledger.is_symlink()
