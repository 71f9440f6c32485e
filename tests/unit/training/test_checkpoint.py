"""Checkpoints: what is read is what was written, or nothing."""

import errno
import json
from dataclasses import replace

import pytest
import torch

from overtile.errors import InputError
from overtile.stores.digest import digest_file
from overtile.training import checkpoint
from overtile.training.checkpoint import (
    EARLIER,
    POINTER,
    Origin,
    State,
    forget_checkpoint,
    read_checkpoint,
    save_checkpoint,
)

HISTORY = [{"epoch": 1, "learning_rate": 0.1, "loss": 0.25, "validation_dice": None}]
STATE = State(
    Origin("key", "code", "cpu", "fp32"),
    3,
    {"a": torch.arange(600.0)},
    {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
    {"a": torch.arange(600.0) + 1},
    HISTORY,
)


def same(one: State, other: State) -> bool:
    """Whether two states hold the same."""
    return repr(one) == repr(other) and torch.equal(one.network["a"], other.network["a"])


def states_files(folder):
    """Names of what is not the pointer."""
    return [path.name for path in folder.iterdir() if path.name != POINTER]


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    save_checkpoint(tmp_path, STATE)
    assert same(read_checkpoint(tmp_path), STATE)
    assert not STATE.is_whole and replace(STATE, optimiser=None).is_whole


def test_a_checkpoint_takes_the_place_of_the_one_before_and_its_name_and_pointer_tell_it(tmp_path):
    (tmp_path / EARLIER).write_bytes(b"of another version")
    (tmp_path / "checkpoint-mine.pt").write_bytes(b"of the user")
    save_checkpoint(tmp_path, STATE)
    save_checkpoint(tmp_path, replace(STATE, history=[*HISTORY, {**HISTORY[0], "epoch": 2}]))
    assert len(read_checkpoint(tmp_path).history) == 2
    (own,) = set(states_files(tmp_path)) - {"checkpoint-mine.pt"}
    digest = digest_file(tmp_path / own)
    assert own == f"checkpoint-{digest[:16]}.pt"
    assert json.loads((tmp_path / POINTER).read_text()) == {"file": own, "sha256": digest}
    forget_checkpoint(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-mine.pt"]


def test_without_a_checkpoint_there_is_none_and_nothing_is_said(tmp_path, capsys):
    assert read_checkpoint(tmp_path) is None
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("part", ["pointer", "state", "earlier"])
def test_a_checkpoint_with_any_byte_changed_or_cut_off_is_none_and_one_line_says_so(
    tmp_path, capsys, part
):
    save_checkpoint(tmp_path, STATE)
    (name,) = states_files(tmp_path)
    path = tmp_path / {"pointer": POINTER, "state": name, "earlier": EARLIER}[part]
    if part == "earlier":
        known = {**vars(STATE), "key": "key"}
        for other in ("origin", "fold", "best"):
            del known[other]
        forget_checkpoint(tmp_path)
        torch.save(known, path)
    whole = path.read_bytes()
    places = range(0, len(whole), max(1, len(whole) // 60))
    changed = [whole[:n] + bytes([whole[n] ^ 1 << n % 8]) + whole[n + 1 :] for n in places]
    for content in (*changed, *(whole[:n] for n in places), b""):
        path.write_bytes(content)
        found = read_checkpoint(tmp_path)
        said = capsys.readouterr().err
        if found is None:
            assert said.count("\n") == 1 and "its checkpoint is damaged and not used" in said
        else:  # a byte that has no meaning
            assert torch.equal(found.network["a"], STATE.network["a"])
            assert found.history == HISTORY and found.origin.key == "key"
            assert part != "state"
    path.write_bytes(whole)
    assert read_checkpoint(tmp_path) is not None


def test_a_lost_state_is_a_damaged_checkpoint(tmp_path, capsys):
    save_checkpoint(tmp_path, STATE)
    (name,) = states_files(tmp_path)
    (tmp_path / name).unlink()
    assert read_checkpoint(tmp_path) is None
    assert "damaged" in capsys.readouterr().err


def test_a_pointer_to_a_file_elsewhere_is_not_followed(tmp_path):
    save_checkpoint(tmp_path, STATE)
    (name,) = states_files(tmp_path)
    (tmp_path / "inside").mkdir()
    other = {"file": f"../{name}", "sha256": digest_file(tmp_path / name)}
    (tmp_path / "inside" / POINTER).write_text(json.dumps(other))
    assert read_checkpoint(tmp_path / "inside") is None


def test_a_full_disk_is_one_line_and_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, STATE)

    class Full:
        def __init__(self, path, mode):
            self.left = 2000

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def write(self, data):
            self.left -= len(data)
            if self.left < 0:
                raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "open", Full, raising=False)
    with pytest.raises(InputError, match="no space left on device.*free space, then run again"):
        save_checkpoint(tmp_path, replace(STATE, history=[]))
    assert read_checkpoint(tmp_path).history == HISTORY
