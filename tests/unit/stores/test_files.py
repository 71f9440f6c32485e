"""Files are written whole or not at all, by one process each, and never through planted links."""

import errno
import fcntl
import os
import resource
import shutil
import stat
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from overtile.errors import InputError
from overtile.stores.files import is_leftover, open_own, replace_when_done, write_text
from tests.unit.writing import write_many

LEFT = ".a.json.0123456789abcdef.part"
PRECIOUS = "precious\n"


def test_many_processes_write_one_file_at_once_and_it_is_always_whole(tmp_path):
    target = tmp_path / "a.json"
    spawn = get_context("spawn")
    writers = [spawn.Process(target=write_many, args=(target, c, 30)) for c in "abcd"]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        if target.exists():
            seen.add(target.read_text())
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    assert {*seen, target.read_text()} <= {c * 200_000 for c in "abcd"}
    assert list(tmp_path.iterdir()) == [target]


def test_two_writers_of_one_file_do_not_share_a_temporary_one(tmp_path):
    target = tmp_path / "a.json"
    with replace_when_done(target) as first, replace_when_done(target) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert target.read_text() == "first"


def test_a_written_file_has_the_permissions_of_any_other(tmp_path):
    for mask, mode in ((0o022, 0o644), (0o077, 0o600)):
        before = os.umask(mask)
        try:
            write_text(tmp_path / "a.json", "new")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == mode


@pytest.mark.parametrize("make_link", [os.symlink, os.link])
@pytest.mark.parametrize("name", ["a.json", ".a.json.part", LEFT])
def test_a_planted_link_is_not_followed(tmp_path, monkeypatch, make_link, name):
    precious = tmp_path / "precious"
    precious.write_text(PRECIOUS)
    os.utime(precious, (0, 0))
    make_link(precious, tmp_path / name)
    write_text(tmp_path / "a.json", "new")
    assert precious.read_text() == PRECIOUS
    assert not (tmp_path / "a.json").is_symlink()
    assert (tmp_path / "a.json").read_text() == "new"


@pytest.mark.parametrize("make_link", [os.symlink, os.link])
def test_not_even_a_link_that_has_guessed_the_name_is_followed(tmp_path, monkeypatch, make_link):
    (tmp_path / "precious").write_text(PRECIOUS)
    monkeypatch.setattr("secrets.token_hex", lambda _: "0123456789abcdef")
    make_link(tmp_path / "precious", tmp_path / LEFT)
    with pytest.raises(FileExistsError) as raised:
        write_text(tmp_path / "a.json", "new")
    assert raised.value.filename == str(tmp_path / "a.json")
    assert (tmp_path / "precious").read_text() == PRECIOUS
    assert not (tmp_path / "a.json").exists()


def test_a_link_that_replaces_the_temporary_file_is_not_taken_for_it(tmp_path):
    (tmp_path / "precious").write_text(PRECIOUS)
    with pytest.raises(OSError), replace_when_done(tmp_path / "a.json") as temporary:
        temporary.unlink()
        temporary.symlink_to(tmp_path / "precious")
    assert not (tmp_path / "a.json").exists()


def test_a_planted_pipe_or_folder_holds_up_nobody(tmp_path):
    os.mkfifo(tmp_path / LEFT)
    os.utime(tmp_path / LEFT, (0, 0))
    (tmp_path / ".a.json.part").mkdir()
    write_text(tmp_path / "a.json", "new")
    assert (tmp_path / "a.json").read_text() == "new"
    assert (tmp_path / LEFT).exists()


WRITER = """
import os, sys, time
from pathlib import Path
from overtile.stores.files import replace_when_done
with replace_when_done(Path(sys.argv[1])) as temporary:
    temporary.write_text("part of it")
    os.utime(temporary, (0, 0))
    print("begun", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def writer(tmp_path):
    """A process that is writing tmp_path/a.json, until it is told to end, and since long ago."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "a.json")],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "scripts")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "begun\n"
    yield process
    process.kill()
    process.communicate()


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path, writer):
    writer.kill()
    writer.wait()
    (left,) = tmp_path.iterdir()
    assert is_leftover(left.name, "a.json")
    write_text(tmp_path / "b.json", "new")
    assert left.exists()
    write_text(tmp_path / "a.json", "new")
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "b.json"}


def test_the_file_of_a_writer_at_work_is_left_alone(tmp_path, writer):
    write_text(tmp_path / "a.json", "new")
    writer.communicate("\n")
    assert writer.returncode == 0
    assert (tmp_path / "a.json").read_text() == "part of it"


@pytest.mark.parametrize("name", [".a.json.part", LEFT])
def test_only_what_is_older_than_a_minute_counts_as_left(tmp_path, name):
    (tmp_path / name).write_text("part of it")
    write_text(tmp_path / "a.json", "new")
    assert (tmp_path / name).exists()
    os.utime(tmp_path / name, (time.time() - 61,) * 2)
    write_text(tmp_path / "a.json", "new")
    assert not (tmp_path / name).exists()


def test_without_locks_files_are_written_and_leftovers_stay(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    (tmp_path / LEFT).touch()
    os.utime(tmp_path / LEFT, (0, 0))
    write_text(tmp_path / "a.json", "new")
    assert (tmp_path / LEFT).exists()
    assert (tmp_path / "a.json").read_text() == "new"


@pytest.mark.parametrize(
    "name",
    [
        "a.json",
        ".b.json.part",
        ".a.json",
        ".a.json.mine.part",
        ".a.jsonx.part",
        ".a.json.part.part",
    ],
)
def test_files_of_other_names_are_no_leftovers(tmp_path, name):
    assert not is_leftover(name, "a.json")
    (tmp_path / name).write_text(PRECIOUS)
    os.utime(tmp_path / name, (0, 0))
    write_text(tmp_path / "a.json", "new")
    assert (tmp_path / name).exists()


def test_a_file_that_is_not_finished_leaves_what_was_there(tmp_path):
    write_text(tmp_path / "a.json", "old")
    with pytest.raises(ZeroDivisionError), replace_when_done(tmp_path / "a.json") as temporary:
        temporary.write_text("part of it")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == [tmp_path / "a.json"]
    assert (tmp_path / "a.json").read_text() == "old"


@pytest.mark.parametrize("place", ["link", "dangling", "folder", "pipe"])
def test_a_file_of_a_fixed_name_is_opened_only_if_it_is_a_plain_file(tmp_path, place):
    (tmp_path / "precious").write_text(PRECIOUS)
    path = tmp_path / "lock"
    make = {
        "link": lambda: path.symlink_to(tmp_path / "precious"),
        "dangling": lambda: path.symlink_to(tmp_path / "nothing"),
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
    }
    make[place]()
    with pytest.raises(InputError, match=f"{path}: is .*; remove it, then run again"):
        open_own(path)
    assert (tmp_path / "precious").read_text() == PRECIOUS
    assert not (tmp_path / "nothing").exists()


PIXELS = np.random.default_rng(0).integers(0, 256, (1000, 2000), dtype=np.uint8)


def write_tiff(path):
    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as file:
        file.write(PIXELS)


def write_tiff_tiles(path):
    tiles = (PIXELS[:256, :256].tobytes() for _ in range(32))
    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as file:
        file.write(tiles, shape=PIXELS.shape, dtype=np.uint8, tile=(256, 256))


def write_open_tiff(path):
    with open(path, "wb") as file:
        tifffile.imwrite(file, PIXELS, tile=(256, 256), compression="zlib")


def write_parquet(path):
    table = pa.table({"a": PIXELS.ravel()})
    with pq.ParquetWriter(path, table.schema, compression="zstd") as file:
        file.write_table(table)


def write_open_checkpoint(path):
    with open(path, "wb") as file:
        torch.save(torch.from_numpy(PIXELS), file)


WRITERS = {
    "text": lambda path: path.write_text("a" * 2_000_000),
    "copy": lambda path: shutil.copyfile(
        torch.__file__.replace("__init__.py", "lib/libc10.so"), path
    ),
    "numpy": lambda path: PIXELS.tofile(path),
    "checkpoint": lambda path: torch.save({"a": torch.from_numpy(PIXELS), "b": 1}, path),
    "checkpoint of many": lambda path: torch.save(list(torch.from_numpy(PIXELS.copy())), path),
    "open checkpoint": write_open_checkpoint,
    "safetensors": lambda path: save_file({"a": torch.from_numpy(PIXELS)}, path),
    "tiff": write_tiff,
    "tiff in tiles": write_tiff_tiles,
    "open tiff": write_open_tiff,
    "parquet": write_parquet,
}


@pytest.fixture
def largest_file():
    """Files of this process may have up to 300 kB: works everywhere, unlike a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 300 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def refuse(folder, kind, message):
    with (
        pytest.raises(InputError, match=f"^{folder}: {message}, .* MB left; free space, then run"),
        replace_when_done(folder / "a") as temporary,
    ):
        WRITERS[kind](temporary)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_that_may_not_grow_is_one_line_whoever_writes_it(tmp_path, largest_file, kind):
    refuse(tmp_path, kind, "file too large")


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_is_one_line_whoever_writes_on_it(small_disk, kind):
    refuse(small_disk, kind, "no space left on device")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
        SafetensorError("Error while serializing: invalid header"),
        OSError("2000000 requested and 300 written"),
        ValueError("of a file that was not there: [Errno 2] No such file or directory"),
    ],
)
def test_an_error_that_the_disk_has_no_part_in_stays_what_it_is(tmp_path, error):
    with pytest.raises(type(error)) as raised, replace_when_done(tmp_path / "a") as temporary:
        temporary.write_text("fine")
        raise error
    assert raised.value is error
    assert list(tmp_path.iterdir()) == []


def test_on_a_full_disk_another_error_stays_what_it_is(tmp_path, largest_file):
    error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(RuntimeError) as raised, replace_when_done(tmp_path / "a") as temporary:
        temporary.write_text("a" * 300_000)
        raise error
    assert raised.value is error
