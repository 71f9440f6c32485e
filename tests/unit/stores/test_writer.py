"""A store is written block by block, resumed after a kill, and committed last."""

import errno
import json
import os
import shutil
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import dask.threaded
import numpy as np
import pytest
import zarr

from overtile.errors import InputError
from overtile.geometry.spans import plan_blocks
from overtile.stores import checked, layout, writer
from overtile.stores.scheduling import ONE_BLOCK
from overtile.stores.store import ROOT, Store
from overtile.stores.writer import StoreWriter

PICTURE = np.arange(20 * 20, dtype=np.uint16).reshape(1, 20, 20)
OME = {"multiscales": [{"datasets": [{"path": "0"}]}]}


class KilledError(Exception):
    """Stands for a job that dies."""


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Shards of 8 x 8 pixels: nine blocks in the picture."""
    monkeypatch.setattr(layout, "PICTURE_CHUNK", (1, 4, 4))
    monkeypatch.setattr(layout, "PICTURE_SHARD", (1, 8, 8))


def write(folder, picture=PICTURE, key="k", killed_after=None, workers=1, **attributes):
    """Write one array and commit; return the blocks computed. Dies after some, if asked to."""
    computed = []
    writer = StoreWriter(folder, key, "labels")
    writer.add_array("0", picture.shape, picture.dtype, "zyx")

    def compute(block):
        if killed_after is not None and len(computed) == killed_after:
            raise KilledError
        computed.append(block.index)
        return picture[block.slices], {"sum": int(picture[block.slices].sum())}

    try:
        writer.fill("0", compute, label="test", workers=workers)
    except KilledError:
        return computed
    assert sum(record["sum"] for record in writer.records("0")) == picture.sum()
    writer.commit(OME, pixel_size_um=None, **attributes)
    return computed


def root_bytes(folder):
    return (folder / ROOT).read_bytes()


def test_what_is_written_is_what_is_read(tmp_path):
    assert len(write(tmp_path / "s.ome.zarr")) == 9
    np.testing.assert_array_equal(Store.open(tmp_path / "s.ome.zarr").array[:], PICTURE)


def test_each_block_is_one_shard_file(tmp_path):
    write(tmp_path / "s")
    files = [p for p in (tmp_path / "s" / "0").rglob("*") if p.is_file() and p.name != ROOT]
    assert len(files) == 9


def test_the_root_may_be_named_instead_of_the_folder(tmp_path):
    write(tmp_path / "s" / ROOT)
    assert Store.open(tmp_path / "s").digest == Store.open(tmp_path / "s" / ROOT).digest


def test_a_killed_job_leaves_no_store_and_goes_on_where_it_stopped(tmp_path):
    first = write(tmp_path / "s", killed_after=4)
    with pytest.raises(InputError, match="no finished store"):
        Store.open(tmp_path / "s")
    second = write(tmp_path / "s")
    assert len(first) == 4
    assert len(second) == 5
    assert not set(first) & set(second)
    write(tmp_path / "in_one_go")
    assert root_bytes(tmp_path / "s") == root_bytes(tmp_path / "in_one_go")
    np.testing.assert_array_equal(Store.open(tmp_path / "s").array[:], PICTURE)


def test_a_finished_store_is_made_again_without_computing(tmp_path):
    write(tmp_path / "s")
    before = root_bytes(tmp_path / "s")
    (tmp_path / "s" / ROOT).unlink()
    assert write(tmp_path / "s") == []
    assert root_bytes(tmp_path / "s") == before


def test_another_key_starts_afresh(tmp_path):
    write(tmp_path / "s", killed_after=4)
    other = PICTURE + 1
    assert len(write(tmp_path / "s", other, key="another")) == 9
    np.testing.assert_array_equal(Store.open(tmp_path / "s").array[:], other)


def test_another_key_may_bring_another_shape_and_dtype_and_no_old_level_stays(tmp_path):
    writer = StoreWriter(tmp_path / "s", "old", "labels")
    for level in ("0", "1", "2"):
        writer.add_array(level, (1, 9, 9), np.uint8, "zyx")
    write(tmp_path / "s", PICTURE.astype(np.float32)[:, :10], key="new")
    store = Store.open(tmp_path / "s")
    assert store.shape == (1, 10, 20)
    assert store.array.dtype == np.float32
    assert sorted(p.name for p in (tmp_path / "s").iterdir() if p.is_dir()) == ["0"]


def test_while_a_store_is_made_again_it_does_not_exist(tmp_path):
    write(tmp_path / "s")
    StoreWriter(tmp_path / "s", "k", "labels")
    with pytest.raises(InputError, match=str(tmp_path / "s")):
        Store.open(tmp_path / "s")


def test_the_same_pixels_give_the_same_root_bytes_whatever_the_key_and_the_threads(tmp_path):
    write(tmp_path / "one", key="a", unit="m")
    write(tmp_path / "two", key="b", unit="m", workers=2)
    assert root_bytes(tmp_path / "one") == root_bytes(tmp_path / "two")


@pytest.mark.parametrize("place", [(0, 0, 0), (0, 9, 17), (0, 19, 19)])
def test_one_other_pixel_gives_another_digest(tmp_path, place):
    other = PICTURE.copy()
    other[place] += 1
    write(tmp_path / "one")
    write(tmp_path / "two", other)
    assert Store.open(tmp_path / "one").digest != Store.open(tmp_path / "two").digest


def test_swapped_blocks_another_dtype_and_other_attributes_give_other_digests(tmp_path):
    swapped = PICTURE.copy()
    swapped[:, :8, :8], swapped[:, 8:16, :8] = PICTURE[:, 8:16, :8], PICTURE[:, :8, :8]
    write(tmp_path / "a")
    write(tmp_path / "b", swapped)
    write(tmp_path / "c", PICTURE.astype(np.int16))
    write(tmp_path / "d", unit="m")
    assert len({Store.open(tmp_path / name).digest for name in "abcd"}) == 4


def test_labels_inside_a_pictures_store_stay_when_the_picture_is_ingested_again(tmp_path):
    write(tmp_path / "s")
    write(tmp_path / "s" / "labels" / "unet", PICTURE + 5)
    before = root_bytes(tmp_path / "s" / "labels" / "unet")
    write(tmp_path / "s", PICTURE + 1, key="another")
    labels = Store.open(tmp_path / "s").label("unet")
    np.testing.assert_array_equal(labels.array[:], PICTURE + 5)
    assert root_bytes(tmp_path / "s" / "labels" / "unet") == before


def test_a_kill_between_shard_and_journal_only_repeats_that_block(tmp_path):
    write(tmp_path / "s", killed_after=4)
    journal = tmp_path / "s" / "journal.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:-1]))
    assert len(write(tmp_path / "s")) == 6
    np.testing.assert_array_equal(Store.open(tmp_path / "s").array[:], PICTURE)


def test_blocks_without_a_single_value_are_finished_blocks(tmp_path):
    write(tmp_path / "s", np.zeros_like(PICTURE), killed_after=4)
    assert len(write(tmp_path / "s", np.zeros_like(PICTURE))) == 5


@pytest.mark.parametrize("is_emptied", [True, False])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_finished_block_whose_shard_is_lost_is_written_again(tmp_path, is_emptied, workers):
    write(tmp_path / "s", killed_after=7)
    shard = tmp_path / "s" / "0" / "c" / "0" / "1" / "2"
    shard.write_bytes(b"") if is_emptied else shard.unlink()
    assert sorted(write(tmp_path / "s", workers=workers)) == [(0, 1, 2), (0, 2, 1), (0, 2, 2)]
    np.testing.assert_array_equal(Store.open(tmp_path / "s").array[:], PICTURE)
    (tmp_path / "s" / ROOT).unlink()
    assert write(tmp_path / "s") == []


def test_a_kill_before_a_journal_has_its_name_blocks_no_later_run(tmp_path, monkeypatch):
    def die(*_):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", die)
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(KilledError):
            StoreWriter(tmp_path / "s", "k", "labels")
    (left,) = (tmp_path / "s").iterdir()
    assert left.name.endswith(".part")
    os.utime(left, (0, 0))
    assert len(write(tmp_path / "s", key="another")) == 9
    assert not left.exists()


def test_several_workers_write_the_same_pixels(tmp_path):
    assert len(write(tmp_path / "s", workers=3)) == 9
    np.testing.assert_array_equal(Store.open(tmp_path / "s").array[:], PICTURE)


def test_an_array_is_sharded_and_its_axes_have_names(tmp_path):
    write(tmp_path / "s")
    array = zarr.open_array(tmp_path / "s" / "0", mode="r")
    assert (array.chunks, array.shards) == ((1, 4, 4), (1, 8, 8))
    assert array.metadata.dimension_names == ("z", "y", "x")


@pytest.mark.parametrize("text", ["{", "[]", "{}", json.dumps({"attributes": {"ome": {}}})])
def test_a_root_of_another_program_is_refused_by_name(tmp_path, text):
    (tmp_path / ROOT).write_text(text)
    with pytest.raises(InputError, match=f"{tmp_path}: not a store of this project"):
        Store.open(tmp_path)


def test_a_folder_with_files_of_others_is_refused_and_left_alone(tmp_path):
    (tmp_path / "home" / "2023").mkdir(parents=True)
    (tmp_path / "home" / "2023" / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="has files that do not belong to a store .2023."):
        StoreWriter(tmp_path / "home", "k", "picture")
    assert (tmp_path / "home" / "2023" / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize(
    "journal",
    [
        "",
        "dear diary\n",
        '{"date": "2023-01-01"}\n',
        '{"key": "k", "holds": "diary"}\n{"array": "2023"}\n',
        '{"key": "k", "holds": "labels"}\n',
    ],
)
@pytest.mark.parametrize("key", ["k", "other"])
def test_a_folder_with_a_journal_of_somebody_is_refused_and_left_alone(tmp_path, journal, key):
    (tmp_path / "2023").mkdir()
    (tmp_path / "2023" / "thesis.txt").write_text("precious")
    (tmp_path / "journal.jsonl").write_text(journal)
    (tmp_path / ROOT).write_text("{}")
    with pytest.raises(
        InputError, match="has files that do not belong to a store .2023.*delete them"
    ):
        StoreWriter(tmp_path, key, "labels")
    assert (tmp_path / "2023" / "thesis.txt").read_text() == "precious"
    assert (tmp_path / "journal.jsonl").read_text() == journal
    assert (tmp_path / ROOT).read_text() == "{}"


@pytest.mark.parametrize("key", ["k", "other"])
def test_a_numbered_folder_of_somebody_inside_a_store_is_refused_and_left_alone(tmp_path, key):
    write(tmp_path / "s")
    root = root_bytes(tmp_path / "s")
    (tmp_path / "s" / "2023").mkdir()
    with pytest.raises(InputError, match="not belong to a store .2023."):
        StoreWriter(tmp_path / "s", key, "labels")
    assert root_bytes(tmp_path / "s") == root
    (tmp_path / "s" / "2023").rmdir()
    (tmp_path / "s" / "notes.txt").write_text("precious")
    write(tmp_path / "s", key=key)
    assert (tmp_path / "s" / "notes.txt").read_text() == "precious"


@pytest.mark.parametrize("key", ["k", "other"])
@pytest.mark.parametrize("place", ["0", "0/c", "0/c/0", "work", "classes"])
def test_a_link_in_place_of_a_folder_of_a_store_is_refused_and_its_target_left_alone(
    tmp_path, place, key
):
    write(tmp_path / "s")
    root = root_bytes(tmp_path / "s")
    mine = tmp_path / "mine"
    (mine / "c").mkdir(parents=True)
    (mine / "x.partial").write_text("precious")
    link = tmp_path / "s" / place
    if link.exists():
        shutil.rmtree(link)
    link.symlink_to(mine)
    with pytest.raises(InputError, match=f"s/{place}: is a link; .*; remove the link"):
        StoreWriter(tmp_path / "s", key, "labels")
    assert root_bytes(tmp_path / "s") == root
    assert sorted(path.name for path in mine.rglob("*")) == ["c", "x.partial"]
    link.unlink()
    write(tmp_path / "s", key=key)
    assert root_bytes(tmp_path / "s") == root


@pytest.mark.parametrize("key", ["k", "other"])
def test_a_store_whose_journal_is_lost_is_known_by_its_sealed_root(tmp_path, key):
    write(tmp_path / "s")
    before = root_bytes(tmp_path / "s")
    (tmp_path / "s" / "journal.jsonl").unlink()
    assert len(write(tmp_path / "s", key=key)) == 9
    assert root_bytes(tmp_path / "s") == before


def test_a_kill_after_the_root_is_gone_leaves_the_arrays_known_where_the_journal_was_lost(
    tmp_path, monkeypatch
):
    write(tmp_path / "s")
    (tmp_path / "s" / "journal.jsonl").unlink()

    def die(*_):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(writer, "Journal", SimpleNamespace(holder=writer.Journal.holder))
        with pytest.raises(TypeError):
            StoreWriter(tmp_path / "s", "k", "labels")
    assert not (tmp_path / "s" / ROOT).exists()
    assert len(write(tmp_path / "s")) == 9


def test_an_array_is_named_in_the_journal_before_it_is_created(tmp_path, monkeypatch):
    def die(*_, **__):
        raise KilledError

    store = StoreWriter(tmp_path / "s", "k", "labels")
    with monkeypatch.context() as patch:
        patch.setattr(zarr.storage.LocalStore, "set", die)
        with pytest.raises(KilledError):
            store.add_array("0", PICTURE.shape, PICTURE.dtype, "zyx")
    assert '"array": "0"' in (tmp_path / "s" / "journal.jsonl").read_text()
    assert len(write(tmp_path / "s", key="another")) == 9


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text[:100],
        lambda text: text.replace('"uint16"', '"float32"'),
        lambda text: text.replace("20", "24"),
        lambda text: text.replace('"fill_value": 0', '"fill_value": 7'),
        lambda text: text.replace('"zstd"', '"gzip"'),
        lambda text: text.replace(" ", ""),
    ],
)
@pytest.mark.parametrize("killed_after", [5, None])
def test_damaged_metadata_of_an_array_are_made_again_and_its_shards_kept(
    tmp_path, change, killed_after
):
    write(tmp_path / "s", killed_after=killed_after)
    file = tmp_path / "s" / "0" / ROOT
    file.write_text(change(file.read_text()))
    assert len(write(tmp_path / "s")) == (9 - killed_after if killed_after else 0)
    write(tmp_path / "in_one_go")
    for name in (ROOT, f"0/{ROOT}", "0/c/0/0/0", "0/c/0/2/2"):
        found = (tmp_path / "s" / name).read_bytes()
        assert found == (tmp_path / "in_one_go" / name).read_bytes()


@pytest.mark.parametrize("place", [3, 40, -1])
def test_a_finished_block_whose_shard_is_damaged_is_written_again(tmp_path, place):
    write(tmp_path / "s")
    shard = tmp_path / "s" / "0" / "c" / "0" / "2" / "2"
    content = bytearray(shard.read_bytes())
    content[place] ^= 255
    shard.write_bytes(content)
    assert write(tmp_path / "s") == [(0, 2, 2)]
    np.testing.assert_array_equal(Store.open(tmp_path / "s").array[:], PICTURE)


def test_each_finished_block_is_read_back_once_and_of_a_new_store_none(tmp_path, monkeypatch):
    read, get = [], checked._Files.get

    async def noted(self, key, *more, **options):
        read.append(key)
        return await get(self, key, *more, **options)

    monkeypatch.setattr(checked._Files, "get", noted)
    write(tmp_path / "s")
    assert not read
    store = StoreWriter(tmp_path / "s", "k", "labels")
    store.add_array("0", PICTURE.shape, PICTURE.dtype, "zyx")
    read.clear()
    for _ in range(3):
        assert store.missing("0") == []
    assert set(read) == {f"c/0/{y}/{x}" for y in range(3) for x in range(3)}
    assert len(read) <= 3 * 9  # the index of a shard, and its chunks


def test_a_store_of_another_kind_is_refused_and_left_alone(tmp_path):
    write(tmp_path / "s")
    root = root_bytes(tmp_path / "s")
    with pytest.raises(InputError, match="holds labels, not picture"):
        StoreWriter(tmp_path / "s", "other", "picture")
    assert root_bytes(tmp_path / "s") == root


def test_a_kill_amid_the_removal_of_old_shards_leaves_nothing_that_counts_as_done(
    tmp_path, monkeypatch
):
    write(tmp_path / "s", killed_after=8)

    def remove_and_die(folder):
        (folder / "c").rename(folder / "gone")
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", remove_and_die)
        with pytest.raises(KilledError):
            write(tmp_path / "s", key="another")
    assert len(write(tmp_path / "s")) == 9
    np.testing.assert_array_equal(Store.open(tmp_path / "s").array[:], PICTURE)


def test_a_run_that_was_thought_lost_does_not_write_into_what_another_has_begun(tmp_path):
    lost = StoreWriter(tmp_path / "s", "old", "labels")
    lost.add_array("0", PICTURE.shape, PICTURE.dtype, "zyx")
    found = []

    def compute_slowly(block):
        if len(found) == 1:
            found.append(write(tmp_path / "s", PICTURE + 1, key="new"))
        found.append(block)
        return PICTURE[block.slices], {}

    with pytest.raises(InputError, match=f"{tmp_path / 's'}: a run with other settings"):
        lost.fill("0", compute_slowly, label="lost")
    np.testing.assert_array_equal(Store.open(tmp_path / "s").array[:], PICTURE + 1)
    assert write(tmp_path / "s", PICTURE + 1, key="new") == []


def fill_disk_after(monkeypatch, shards):
    """Let zarr write so many shards, and find no room for the next."""
    put = zarr.storage.LocalStore.set
    written = []

    async def set_or_fail(self, key, value):
        if "c/" in key:
            if len(written) == shards:
                raise OSError(errno.ENOSPC, "No space left on device")
            written.append(key)
        await put(self, key, value)

    monkeypatch.setattr(zarr.storage.LocalStore, "set", set_or_fail)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_is_told_with_what_to_do_and_costs_nothing_that_is_finished(
    tmp_path, monkeypatch, workers
):
    with monkeypatch.context() as patch:
        fill_disk_after(patch, 4)
        message = f"{tmp_path / 's'}: no space left on device, .* MB left; free space, then run"
        with pytest.raises(InputError, match=message):
            write(tmp_path / "s", workers=workers)
    with pytest.raises(InputError, match="no finished store"):
        Store.open(tmp_path / "s")
    assert len(write(tmp_path / "s")) == 5
    write(tmp_path / "in_one_go")
    assert root_bytes(tmp_path / "s") == root_bytes(tmp_path / "in_one_go")
    np.testing.assert_array_equal(Store.open(tmp_path / "s").array[:], PICTURE)


def test_nothing_is_written_after_the_error_of_a_block_that_failed_beside_others(tmp_path):
    writer = StoreWriter(tmp_path / "s", "k", "labels")
    writer.add_array("0", PICTURE.shape, PICTURE.dtype, "zyx")
    both_are_under_way = threading.Barrier(2, timeout=60)

    def compute(block):
        if both_are_under_way.wait() == 0:
            raise KilledError
        time.sleep(0.3)  # the other one has failed long since
        return PICTURE[block.slices], {}

    with pytest.raises(KilledError):
        writer.fill("0", compute, label="test", workers=2)
    assert len(writer.missing("0")) == 8
    time.sleep(0.5)
    assert len(writer.missing("0")) == 8


def test_without_room_for_the_root_there_is_no_store_until_there_is_room(tmp_path, monkeypatch):
    def fail(number):
        if (tmp_path / "s" / "0").exists():
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fail)
        with pytest.raises(InputError, match="no space left on device, .* MB left; free space"):
            write(tmp_path / "s")
    assert not (tmp_path / "s" / ROOT).exists()
    assert write(tmp_path / "s") == []
    np.testing.assert_array_equal(Store.open(tmp_path / "s").array[:], PICTURE)


MANY = plan_blocks((1, 1000, 100), (1, 1, 1))


@pytest.fixture
def of_100_000_blocks(tmp_path, monkeypatch):
    """A writer of 100,000 blocks without shards, and which of them have begun."""
    begun = []

    def write_nothing(folder, array, refuse_other_run, compute, block):
        begun.append(block)
        return {"sha256": "0" * 64}

    monkeypatch.setattr(writer, "write_block", write_nothing)
    store = StoreWriter(tmp_path / "s", "k", "labels")
    store.add_array("0", (1, 8, 8), np.uint8, "zyx")
    monkeypatch.setattr(store, "blocks", lambda name: MANY)
    monkeypatch.setattr(store._journal, "append", store._journal._records.__setitem__)
    return store, begun


def test_threads_are_given_few_of_100_000_blocks_at_a_time(of_100_000_blocks, monkeypatch):
    store, begun = of_100_000_blocks
    get, given = dask.threaded.get, []

    def noted(graph, *more, **options):
        given.append((len(begun), len(graph)))
        return get(graph, *more, **options)

    monkeypatch.setattr(dask.threaded, "get", noted)
    store.fill("0", None, label="many", workers=2)
    assert len(begun) == len(set(begun)) == len(MANY) == 100_000
    assert given[0][0] == 0
    assert max(size for _, size in given) <= 100
    assert sum(size for _, size in given) == 100_000


@dataclass(eq=False)
class Future:
    """A block on the stand-in for a cluster."""

    result: Callable[[], dict]


class Cluster:
    """A stand-in for a Dask client with eight workers, quick enough for 100,000 blocks."""

    def __init__(self):
        self.cluster = SimpleNamespace(scheduler_info={"workers": dict.fromkeys(range(8))})
        self.held = self.most = 0
        self.known, self.most_known = weakref.WeakSet(), 0
        self.plugins, self.begun = {}, []

    def register_plugin(self, plugin):
        self.plugins[plugin.name] = plugin

    def submit(self, function, block, **options):
        assert options["resources"] == {ONE_BLOCK: 1}
        self.begun.append(block)
        self.held += 1
        self.most = max(self.most, self.held)
        future = Future(partial(function, block))
        self.known.add(future)
        self.most_known = max(self.most_known, len(self.known))
        return future

    def wait(self, futures, timeout, return_when):
        self.held -= 1
        return SimpleNamespace(done=[futures[len(futures) // 2]])


def test_of_100_000_blocks_one_per_worker_is_on_the_cluster(of_100_000_blocks, monkeypatch):
    store, _ = of_100_000_blocks
    client = Cluster()
    monkeypatch.setattr("distributed.wait", client.wait)
    monkeypatch.setattr("distributed.get_worker", lambda: client)
    store.fill("0", None, label="many", client=client)
    assert len(client.begun) == len(set(client.begun)) == len(store.records("0")) == 100_000
    assert client.most == 8
    assert client.most_known < 16
