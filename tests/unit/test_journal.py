"""The journal keeps what is finished under its key, and nothing else."""

from threading import Thread

import psutil
import pytest

from overtile.errors import InputError
from overtile.stores import journal as journals
from overtile.stores.journal import NAME, Journal


def started(folder, key="k"):
    journal = Journal(folder, key, "labels")
    journal.start()
    return journal


def test_a_second_try_under_the_same_key_finds_the_finished_blocks(tmp_path):
    started(tmp_path).append("0/0.0.0", {"sha256": "a"})
    again = Journal(tmp_path, "k", "labels")
    assert not again.is_fresh
    assert again.get("0/0.0.0") == {"block": "0/0.0.0", "sha256": "a"}
    assert again.get("0/0.0.1") is None


def test_another_key_finds_nothing_and_wipes_the_old_records(tmp_path):
    started(tmp_path, "old").append("0/0.0.0", {})
    other = Journal(tmp_path, "new", "labels")
    assert other.is_fresh
    assert other.get("0/0.0.0") is None
    other.start()
    assert Journal(tmp_path, "old", "labels").is_fresh


@pytest.mark.parametrize("cut", range(1, 22))
def test_a_line_that_a_kill_cut_short_is_ignored_and_the_next_one_is_whole(tmp_path, cut):
    journal = started(tmp_path)
    journal.append("a", {"n": 1})
    journal.append("b", {"n": 2})
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes()[:-cut])
    again = started(tmp_path)
    assert again.get("a") is not None
    assert again.get("b") is None
    again.append("c", {"n": 3})
    assert Journal(tmp_path, "k", "labels").get("c") == {"block": "c", "n": 3}


@pytest.mark.parametrize("line", ["", "\n", "not JSON\n", '{"key": "k"}'])
def test_a_journal_without_a_whole_first_line_counts_as_empty(tmp_path, line):
    (tmp_path / NAME).write_text(line)
    assert Journal(tmp_path, "k", "labels").is_fresh


def test_a_damaged_line_in_the_middle_costs_only_its_own_block(tmp_path):
    journal = started(tmp_path)
    for block in "abc":
        journal.append(block, {})
    path = tmp_path / NAME
    path.write_text(path.read_text().replace('"block": "b"', "\x00\x00\x00"))
    again = Journal(tmp_path, "k", "labels")
    assert [again.get(block) is not None for block in "abc"] == [True, False, True]


def test_threads_append_whole_lines(tmp_path):
    journal = started(tmp_path)

    def append_many(name):
        for n in range(50):
            journal.append(f"{name}/{n}", {"n": n})

    threads = [Thread(target=append_many, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = Journal(tmp_path, "k", "labels")
    assert all(again.get(f"{name}/{n}")["n"] == n for name in "abcd" for n in range(50))


@pytest.mark.parametrize("line", ["1\n", "null\n", "[]\n", '{"n": 1}\n'])
def test_a_line_that_is_no_record_is_ignored(tmp_path, line):
    journal = started(tmp_path)
    journal.append("a", {})
    with (tmp_path / NAME).open("a") as file:
        file.write(line)
    journal.append("b", {})
    again = started(tmp_path)
    assert [again.get(block) is not None for block in "ab"] == [True, True]
    (tmp_path / NAME).write_text(line)
    assert Journal.holder(tmp_path) is None


def test_a_record_after_one_that_a_full_disk_cut_short_costs_no_other(tmp_path):
    journal = started(tmp_path)
    journal.append("a", {"n": 1})
    with (tmp_path / NAME).open("a") as file:
        file.write('{"block": "b", "n')
    journal.append("c", {"n": 3})
    journal.append("d", {"n": 4})
    again = started(tmp_path)
    assert [again.get(block) is not None for block in "abcd"] == [True, False, False, True]


def test_a_void_journal_vouches_for_nothing_and_still_says_what_its_store_holds(tmp_path):
    journal = started(tmp_path)
    journal.append("a", {})
    journal.void()
    assert Journal(tmp_path, "k", "labels").is_fresh
    assert Journal.holder(tmp_path) == "labels"


def test_a_run_whose_store_another_has_taken_notes_nothing_more(tmp_path):
    lost = started(tmp_path, "old")
    new = started(tmp_path, "new")
    with pytest.raises(InputError, match=f"{tmp_path}: another run"):
        lost.append("a", {})
    new.append("b", {})
    assert Journal(tmp_path, "new", "labels").get("a") is None
    (tmp_path / NAME).unlink()
    with pytest.raises(InputError, match=f"{tmp_path}: another run"):
        new.append("c", {})


class Unwalked(dict):
    """Records that may be looked up and added to, but never gone through."""

    def __iter__(self):
        raise AssertionError("all records were gone through")

    keys = values = items = copy = __iter__


def test_the_hundred_thousandth_record_costs_no_more_than_the_first(tmp_path, monkeypatch):
    records = {f"0/0.0.{n}": {"block": f"0/0.0.{n}", "sha256": "0" * 64} for n in range(100_000)}
    journal = started(tmp_path)
    journal._records |= records
    journal.start()
    journal._records = Unwalked(journal._records)
    before, size = psutil.Process().io_counters(), (tmp_path / NAME).stat().st_size
    for n in range(500):
        journal.append(f"last/{n}", {"sha256": "0" * 64})
    after = psutil.Process().io_counters()
    moved = after.read_chars - before.read_chars + after.write_chars - before.write_chars
    assert moved < 10 * size
    parsed, parse = [], journals._parse
    monkeypatch.setattr(journals, "_parse", lambda line: parsed.append(1) or parse(line))
    again = Journal(tmp_path, "k", "labels")
    assert len(parsed) == 1 + 100_000 + 500
    assert again.get("0/0.0.99999") == records["0/0.0.99999"]
    assert again.get("last/499") is not None
