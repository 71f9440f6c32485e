"""A script ends with an exit code and one line, which says what the system has refused."""

import errno
import os
import resource
import socket

import pytest

from overtile import cli
from overtile.stores.files import write_text
from overtile.system_errors import describe


@pytest.fixture
def end(capsys):
    """Run a step that does something; give its exit code and what it said."""

    def run(work, *command):
        code = cli.execute(cli.new_parser("step.py", "A step."), lambda _: work(), command)
        return code, capsys.readouterr().err

    return run


def fail(error):
    raise error


def number(name, file=None):
    return OSError(getattr(errno, name), os.strerror(getattr(errno, name)), file)


class CommClosedError(OSError):
    """Like dask's: without a number."""


LOST = [
    *(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), BrokenPipeError(32, "x")),
    *(TimeoutError("timed out"), TimeoutError(), CommClosedError("in <TCP>: Stream is closed")),
    *(number("EHOSTUNREACH"), number("ENETUNREACH"), ConnectionError("gone")),
]


@pytest.mark.parametrize("error", LOST, ids=repr)
def test_a_lost_connection_is_not_taken_for_a_full_disk(end, error):
    code, said = end(lambda: fail(error))
    assert code == 1
    (line,) = said.splitlines()
    assert line.startswith("step.py: connection lost (") and "run again" in line
    assert not any(word in line for word in ("disk", "space", "permission", "None", "()"))


def test_dask_still_calls_a_lost_connection_by_that_name():
    from distributed.comm import CommClosedError

    assert describe(CommClosedError("Stream is closed")).startswith("connection lost (Stream is")


def test_a_program_that_nobody_answers_says_so(end):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        code, said = end(lambda: socket.create_connection(("127.0.0.1", port), timeout=5))
    assert code == 1 and "connection lost (Connection refused)" in said


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("EACCES", "Permission denied; check its owner and permissions"),
        ("EROFS", "Read-only file system; check its owner"),
        ("EMFILE", "Too many open files; raise the limit"),
        ("ENFILE", "Too many open files in system; raise the limit"),
        ("ESTALE", "Stale file handle; the network file system"),
        ("EIO", "Input/output error; the disk or its network cannot be read"),
        ("ENOENT", "No such file or directory; check the path"),
        ("ELOOP", "Too many levels of symbolic links; check the path"),
        ("EBUSY", "Device or resource busy; correct this"),
    ],
)
def test_each_error_of_the_system_is_said_with_its_file_and_what_to_do(end, name, words):
    code, said = end(lambda: fail(number(name, "a.tif")))
    (line,) = said.splitlines()
    assert code == 1 and line.startswith(f"step.py: a.tif: {words}")
    assert line.endswith(", then run again")


def test_an_error_without_a_file_or_number_is_said_in_its_own_words(end):
    assert end(lambda: fail(OSError("the\nheader is torn"))) == (
        1,
        "step.py: the header is torn; correct this, then run again\n",
    )


@pytest.mark.parametrize("name", ["ENOSPC", "EDQUOT", "EFBIG"])
def test_a_disk_without_room_says_what_is_left_wherever_it_happens(end, tmp_path, name):
    code, said = end(lambda: fail(number(name, str(tmp_path / "no" / "a.tif"))))
    (line,) = said.splitlines()
    text = os.strerror(getattr(errno, name)).lower()
    assert code == 1 and line.startswith(f"step.py: {tmp_path / 'no'}: {text}, ")
    assert line.endswith(" MB left; free space, then run again: finished parts are kept")


def test_a_file_that_may_not_grow_is_one_line(end, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        code, said = end(lambda: write_text(tmp_path / "a.txt", "a" * 2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 1 and said.startswith(f"step.py: {tmp_path}: file too large, ")


def test_too_many_open_files_is_one_line_with_the_file(end, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, before[1]))
    try:
        code, said = end(lambda: write_text(tmp_path / "a.txt", "a"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert code == 1 and "Too many open files; raise the limit (ulimit -n)" in said


def test_a_folder_in_place_of_the_file_is_named_as_the_user_gave_it(end, tmp_path):
    (tmp_path / "a.txt").mkdir()
    code, said = end(lambda: write_text(tmp_path / "a.txt", "a"))
    assert code == 1 and said.startswith(f"step.py: {tmp_path / 'a.txt'}: Is a directory; check")


def test_a_fault_of_the_program_keeps_its_traceback(end):
    with pytest.raises(RuntimeError):
        end(lambda: fail(RuntimeError("a fault")))


@pytest.mark.parametrize("content", [b"--record\nrun\xa0.json\n", b"--record\nrun\0.json\n"])
def test_a_damaged_file_of_arguments_is_named(tmp_path, capsys, content):
    path = tmp_path / "step.args"
    path.write_bytes(content)
    parser = cli.new_parser("step.py", "A step.")
    parser.fromfile_prefix_chars = "@"
    with pytest.raises(SystemExit, match="2"):
        cli.execute(parser, lambda _: None, [f"@{path}"])
    assert f"step.py: error: {path}: is not text, or is damaged; make it again" in (
        capsys.readouterr().err
    )
