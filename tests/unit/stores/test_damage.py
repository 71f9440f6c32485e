"""Whatever befalls a file of a finished run: the same result, or one line that names it."""

import re
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest

from overtile.errors import InputError
from overtile.stores.root import ROOT, remedy
from tests.examples import examples
from tests.unit.finished import STEPS, STORES, make_all, make_old, read_all, shard_of, small_layout

FLIPS = examples(25)
FILES = {
    "root": lambda store: store / ROOT,
    "array": lambda store: store / "0" / ROOT,
    "shard": shard_of,
    "journal": lambda store: store / "journal.jsonl",
}


@pytest.fixture(scope="module", params=["new", "old"])
def run(request, tmp_path_factory):
    """A finished run, of this code and as it was before stores were sealed."""
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        small_layout(patch)
        make_all(folder)
    if request.param == "old":
        for store in STORES.values():
            make_old(folder / store)
    return folder


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    small_layout(monkeypatch)


def damages(content: bytes, seed: str):
    """The content of a file after some damage, None for a file that is gone."""
    yield None
    for left in {0, 1, len(content) // 3, len(content) // 2, len(content) - 20, len(content) - 1}:
        yield content[: max(0, left)]
    rng = np.random.default_rng(zlib.crc32(seed.encode()))
    for place in rng.integers(len(content), size=FLIPS):
        flipped = bytearray(content)
        flipped[place] ^= 1 << rng.integers(8)
        yield bytes(flipped)
    # As likely in numbers and words as anywhere else: one digit for another, one letter as well.
    for place in rng.integers(len(content), size=FLIPS):
        changed = bytearray(content)
        changed[place] = changed[place] // 16 * 16 + int(rng.integers(10))
        yield bytes(changed)


def put(path: Path, content: bytes | None) -> None:
    """Write a file, or remove it."""
    path.unlink() if content is None else path.write_bytes(content)


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_gives_the_same_or_one_line(run, kind, name):
    store = run / STORES[kind]
    wanted, file = read_all(store), FILES[name](store)
    content = file.read_bytes()
    refused = 0
    try:
        for damaged in damages(content, f"{kind} {name}"):
            put(file, damaged)
            try:
                assert read_all(store) == wanted, damaged
            except InputError as error:
                refused += 1
                assert str(store) in str(error) and "\n" not in str(error)
    finally:
        file.write_bytes(content)
    assert read_all(store) == wanted
    assert refused or name == "journal"


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("name", FILES)
def test_a_step_that_runs_again_over_a_damaged_store_makes_it_whole(
    run, kind, name, tmp_path, request
):
    folder = shutil.copytree(run, tmp_path / "r")
    store, step = folder / STORES[kind], STEPS[kind]
    is_old = "old" in request.node.callspec.params.values()
    wanted = read_all(store)
    root = (store / ROOT).read_bytes()
    file = FILES[name](store)
    content = file.read_bytes()
    for number, damaged in enumerate(damages(content, f"again {kind} {name}")):
        if number % 12 < 8 and number > 1:
            continue
        put(file, damaged)
        try:
            assert read_all(store) == wanted
        except InputError as error:
            # What the line says.
            assert remedy(store) in str(error) or "no finished store here" in str(error)
            (store / ROOT).unlink(missing_ok=True)
        try:
            step(folder)
        except InputError as error:
            # Nothing is left that says whose files they are; the line names them.
            assert is_old and name == "journal"
            listed = re.search(r"not belong to a store \((.*)\); choose", str(error))[1]
            for stranger in listed.split(", "):
                lost = store / stranger
                shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
            step(folder)
        assert read_all(store) == wanted
        if not is_old:
            assert (store / ROOT).read_bytes() == root
            assert file.exists()
