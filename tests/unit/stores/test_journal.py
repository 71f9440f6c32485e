"""The journal keeps what is finished under its key, and nothing else."""

from threading import Thread

import psutil
import pytest

from overtile.errors import InputError
from overtile.stores import journal as journals
from overtile.stores.journal import NAME, Journal, arrays_named, recorded


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


def test_a_line_of_which_a_byte_is_changed_counts_as_not_there(tmp_path):
    journal = started(tmp_path)
    journal.append("0/0.0.0", {"sha256": "a", "mean": 1.25})
    journal.append("0/0.0.1", {"sha256": "b"})
    path = tmp_path / NAME
    content = path.read_bytes()
    line = content.index(b'{"block": "0/0.0.0"')
    for place in range(line, content.index(b"\n", line)):
        for bit in (1, 2, 4, 16):
            changed = bytearray(content)
            changed[place] ^= bit
            path.write_bytes(changed)
            found = Journal(tmp_path, "k", "labels")
            assert found.get("0/0.0.0") in (None, journal.get("0/0.0.0"))
            assert found.get("0/0.0.1") == journal.get("0/0.0.1")


def test_lines_from_before_there_were_checksums_are_taken_but_not_in_a_journal_with_them(tmp_path):
    old = ['{"key": "k", "holds": "labels"}\n', '{"block": "0/0.0.0", "sha256": "a"}\n']
    more = '{"block": "0/0.0.2", "sha256": "c", "mean": 3}\n'
    (tmp_path / NAME).write_text("".join([*old, more]))
    journal = Journal(tmp_path, "k", "labels")
    assert journal.get("0/0.0.2") is None  # no shard proves its mean
    assert set(recorded(tmp_path)) == {"0/0.0.0", "0/0.0.2"}
    assert journal.get("0/0.0.0") == {"block": "0/0.0.0", "sha256": "a"}
    assert journal.arrays == {"0"}
    journal.start()
    with (tmp_path / NAME).open("a") as file:
        file.write('{"block": "0/0.0.1", "sha256": "b"}\n')
    again = Journal(tmp_path, "k", "labels")
    assert [again.get(f"0/0.0.{n}") is not None for n in (0, 1)] == [True, False]


@pytest.mark.parametrize(
    "line",
    [
        '{"key": "k"}',
        '{"holds": "labels"}',
        '{"key": "k", "holds": "photographs"}',
        '{"key": "k", "holds": "labels", "owner": "me"}',
        '{"key": "k", "holds": "labels", "crc32": "00000000"}',
        '["key", "holds"]',
        '{"key": "k", "holds": "labels"',
    ],
)
def test_a_journal_of_somebody_names_no_array(tmp_path, line):
    (tmp_path / NAME).write_text(line + '\n{"block": "2023/0.0.0"}\n{"array": "2024"}\n')
    assert Journal.holder(tmp_path) is None
    assert arrays_named(tmp_path) == set()


def test_a_damaged_first_line_leaves_the_arrays_known_by_lines_with_checksums(tmp_path):
    journal = started(tmp_path)
    journal.add_array("0")
    journal.append("1/0.0.0", {})
    path = tmp_path / NAME
    path.write_text(path.read_text().replace('"key": "k"', '"key": "j"'))
    assert Journal.holder(tmp_path) == ""
    assert arrays_named(tmp_path) == {"0", "1"}
    assert Journal(tmp_path, "k", "labels").is_fresh


def test_an_array_is_named_once_and_kept_by_the_next_try(tmp_path):
    journal = started(tmp_path)
    for _ in range(2):
        journal.add_array("0")
    assert (tmp_path / NAME).read_text().count('"array"') == 1
    again = started(tmp_path)
    assert again.arrays == {"0"}
    again.void()
    assert arrays_named(tmp_path) == {"0"}


def test_a_link_in_place_of_the_journal_is_not_written_through(tmp_path):
    folder = tmp_path / "s"
    folder.mkdir()
    journal = started(folder)
    mine = tmp_path / "mine"
    mine.write_text((folder / NAME).read_text())
    (folder / NAME).unlink()
    (folder / NAME).symlink_to(mine)
    before = mine.read_text()
    with pytest.raises(OSError, match="symbolic links"):
        journal.append("0/0.0.0", {})
    assert mine.read_text() == before
    started(folder).append("0/0.0.0", {})
    assert mine.read_text() == before
    assert not (folder / NAME).is_symlink()


def test_a_void_journal_vouches_for_nothing_and_still_says_what_its_store_holds(tmp_path):
    journal = started(tmp_path)
    journal.append("a", {})
    journal.void()
    assert Journal(tmp_path, "k", "labels").is_fresh
    assert Journal.holder(tmp_path) == "labels"


def test_a_run_whose_store_another_has_taken_notes_nothing_more(tmp_path):
    lost = started(tmp_path, "old")
    new = started(tmp_path, "new")
    with pytest.raises(InputError, match=f"{tmp_path}: a run with other settings"):
        lost.append("a", {})
    new.append("b", {})
    assert Journal(tmp_path, "new", "labels").get("a") is None
    (tmp_path / NAME).unlink()
    with pytest.raises(InputError, match=f"{tmp_path}: a run with other settings"):
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
