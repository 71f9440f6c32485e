"""The journal keeps what is finished under its key, and nothing else."""

from threading import Thread

import pytest

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
    path.write_text(path.read_text().replace('{"block": "b"}', "\x00\x00\x00"))
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
