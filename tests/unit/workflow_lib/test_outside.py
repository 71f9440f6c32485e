"""Files from outside: a token that stands for their content, whatever their dates say."""

import hashlib
import json
import os
import re
from pathlib import Path

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
            """As a run sees it, which may be killed after that."""
            files = OutsideFiles(self.ledger)
            return files.token(str(self.raw), str(self.made), str(self.record))

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


def test_a_content_that_was_noted_but_never_read_has_no_share_in_the_one_that_was(archive):
    archive.token()
    archive.make()
    archive.raw.write_bytes(b"second")
    noted = archive.token()
    archive.raw.write_bytes(b"third!")  # before the run has read it
    archive.make()
    archive.raw.write_bytes(b"second")
    assert archive.token() != noted


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
    archive.make()
    assert archive.token() == token != UNNOTED
    assert list(elsewhere.iterdir()) == []


def test_two_workflows_in_one_folder_keep_what_each_knows(archive, tmp_path):
    """The first one made something of the file before there was a ledger, the second one not."""
    raw, made, other = str(archive.raw), str(archive.made), str(tmp_path / "other")
    archive.make()
    one, two = OutsideFiles(archive.ledger), OutsideFiles(archive.ledger)
    assert two.token("", "", "") == UNNOTED
    tokens = one.token(raw, made, "no"), two.token(raw, other, "no")
    (tmp_path / "other").touch()
    after = OutsideFiles(archive.ledger)
    assert (after.token(raw, made, ""), after.token(raw, other, "")) == tokens
    assert tokens[0] == UNNOTED != tokens[1]


def test_a_planted_link_is_not_followed(archive, tmp_path):
    target = tmp_path / "precious"
    target.write_text("precious")
    archive.ledger.parent.mkdir()
    archive.ledger.symlink_to(target)
    archive.token()
    assert target.read_text() == "precious"
    assert not archive.ledger.is_symlink()


def test_a_run_that_ends_in_another_folder_writes_where_it_has_read(archive, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    files = OutsideFiles(archive.ledger.relative_to(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    token = files.token(str(archive.raw), str(archive.made), str(archive.record))
    archive.make()
    assert archive.token() == token != UNNOTED


def test_a_line_that_was_cut_short_costs_no_other_one(archive, tmp_path):
    before = archive.token()
    with archive.ledger.open("a") as file:
        file.write('\n{"made": "')
    second = tmp_path / "second.tif"
    second.write_bytes(b"more")
    other = tmp_path / "other"
    token = OutsideFiles(archive.ledger).token(str(second), str(other), "no")
    archive.make()
    other.touch()
    assert archive.token() == before
    assert OutsideFiles(archive.ledger).token(str(second), str(other), "no") == token != UNNOTED


def test_the_process_of_a_single_job_notes_nothing(archive):
    files = OutsideFiles(archive.ledger, is_kept=False)
    assert files.token(str(archive.raw), "no", "no") != UNNOTED
    assert not archive.ledger.exists()


def test_tokens_are_parameters_that_snakemake_notes():
    """It notes none that follows from input or output."""
    rules = Path(__file__).resolve().parents[3] / "workflow" / "rules"
    texts = [path.read_text(encoding="utf-8") for path in sorted(rules.glob("*.smk"))]
    asked = [a for text in texts for a in re.findall(r"lambda ([^:]*):[\s(]*outside\(", text)]
    assert asked == ["wildcards"] * 4
