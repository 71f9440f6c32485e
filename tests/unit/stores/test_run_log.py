"""Who works at a folder is noted there before anything is written, and forgotten with it."""

import json

import pytest

from overtile.errors import InputError
from overtile.stores.run_log import (
    DESCRIBED,
    RUN_LOG,
    StepRun,
    add_to_run_log,
    log_start,
    read_record,
    read_run_log,
    running_step,
)
from overtile.stores.writer import claim


def begin(folder, script, *written, key="key", is_fresh=False):
    """A run of a script that writes into some folders."""
    with running_step(StepRun(folder, lambda: {"script": script})):
        for path in written or [folder]:
            log_start(path, key, is_fresh)


def scripts(folder):
    return [run["script"] for run in read_run_log(folder)["runs"]]


@pytest.fixture
def folder(tmp_path):
    """A folder in which a first run has begun."""
    path = tmp_path / "store"
    begin(path, "first", is_fresh=True)
    return path


def test_a_run_that_goes_on_under_the_same_key_comes_after_the_one_before(folder):
    add_to_run_log(folder, seconds=3)
    begin(folder, "second")
    assert scripts(folder) == ["first", "second"]
    assert read_run_log(folder)["seconds"] == 3


def test_a_damaged_note_holds_up_nobody(folder):
    (folder / RUN_LOG).write_text("{")
    begin(folder, "second")
    assert scripts(folder) == ["second"]


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("[]", {}),
        ("null", {}),
        ("\xff", {}),
        ("[" * 100_000, {}),
        ('{"runs": 3, "seconds": 2}', {"runs": [], "seconds": 2}),
        ('{"runs": [3, {"key": 3}, {"inputs": []}, {"script": "s"}]}', {"runs": [{"script": "s"}]}),
        ('{"runs": [{"inputs": {"no/root.tif": "5e"}}, {"inputs": {"": "5e"}}]}', {"runs": []}),
        ('{"runs": [{"inputs": {"/a": 3}}, {"also": "x"}, {"versions": null}]}', {"runs": []}),
        ('{"device": 3, "torch": [], "threads": "2", "precision": "fp32"}', {"precision": "fp32"}),
        *((f'{{"seconds": {bad}}}', {}) for bad in ('"3"', "NaN", "-1", "Infinity", "true", "[]")),
    ],
)
def test_what_is_damaged_or_of_another_type_counts_as_not_known(folder, text, known):
    (folder / RUN_LOG).write_text(text, encoding="latin-1")
    assert read_run_log(folder) == known
    begin(folder, "second")
    assert scripts(folder)[-1] == "second"


@pytest.mark.parametrize("how", [{"key": "other"}, {"is_fresh": True}])
def test_a_run_that_begins_anew_forgets_the_one_before(folder, how):
    begin(folder, "second", **how)
    assert scripts(folder) == ["second"]


def test_what_is_written_inside_the_folder_counts_and_only_the_first_of_it(folder):
    begin(folder, "second", folder / "classes", folder)
    assert scripts(folder) == ["first", "second"]
    assert not (folder / "classes").exists()


def test_what_is_written_elsewhere_does_not_count(folder, tmp_path):
    begin(folder, "second", tmp_path / "elsewhere")
    assert scripts(folder) == ["first"]


def test_what_nobody_announced_forgets_runs_where_it_begins_anew(folder):
    log_start(folder, "key", is_fresh=False)
    assert scripts(folder) == ["first"]
    log_start(folder, "key", is_fresh=True)
    assert read_run_log(folder) == {}


@pytest.mark.parametrize("left", [".effort.json.part", ".effort.json.0123456789abcdef.part"])
def test_what_a_kill_leaves_of_the_note_makes_no_stranger_of_the_folder(tmp_path, left):
    for name in (RUN_LOG, left):
        (tmp_path / name).write_text("{")
    claim(tmp_path, "labels")


RECORD = {**dict.fromkeys(DESCRIBED, "text"), "versions": {"python": "3"}, "inputs": {"/a": "5e"}}
DAMAGED = (
    *("", "{", "null", "1", "[]", "[{}]", "{}", "NaN"),
    *(json.dumps({k: v for k, v in RECORD.items() if k != name}) for name in DESCRIBED),
    *(json.dumps({**RECORD, key: 3}) for key in (*RECORD, "ended", "also", "content")),
)


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_record_of_a_run_is_told_with_what_to_do(tmp_path, text):
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(
        InputError, match="run.json: is not the record of a run, or is damaged; delete it"
    ):
        read_record(path)
    path.write_text(json.dumps(RECORD))
    assert read_record(path) == RECORD
