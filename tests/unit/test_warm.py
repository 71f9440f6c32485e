"""A program that is run warm behaves as in a process of its own, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.warm import Warm


@pytest.fixture(scope="module")
def python():
    with Warm("decimal") as server:
        yield server


@pytest.fixture
def program(tmp_path):
    """Write a program; its words for Python."""

    def write(text: str, *flags: str) -> list[str]:
        (tmp_path / "program.py").write_text(text)
        return [str(tmp_path / "program.py"), *flags]

    return write


@pytest.mark.parametrize(
    "text",
    [
        "print('said'); import sys; print(sys.argv[1:], __name__, file=sys.stderr)",
        "raise SystemExit(7)",
        "raise SystemExit('no')",
        "raise SystemExit",
        "import os; os._exit(3)",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import atexit, sys; atexit.register(print, 'last'); print('first')",
        "import threading, time; threading.Timer(0.1, print, [1]).start()",
        "import sys; print(repr(sys.stdin.read()))",
        "import os; print(os.getcwd(), sorted(os.environ.items()))",
        "import beside",
    ],
)
def test_it_says_and_ends_as_in_a_process_of_its_own(python, program, tmp_path, text):
    (tmp_path / "beside.py").write_text("print('found')")
    words = program(text, "--flag", "a b")
    given = {"cwd": tmp_path, "env": {"PATH": os.environ["PATH"], "LC_CTYPE": "C.UTF-8"}}
    alone = subprocess.run(
        [sys.executable, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, **given
    )
    warm = python.run(words, **given)
    assert (warm.returncode, warm.stdout) == (alone.returncode, alone.stdout)
    assert warm.stderr == alone.stderr


def test_an_error_keeps_its_traceback(python, program):
    result = python.run(program("def f():\n    1 / 0\nf()\n"))
    assert result.returncode == 1
    assert 'program.py", line 2, in f' in result.stderr
    assert result.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_a_module_runs_too(python):
    words = ["-m", "json.tool", "--help"]
    alone = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    assert python.run(words).stdout == alone.stdout


def test_modules_are_there_and_nothing_of_an_earlier_program_is(python, program):
    text = "import decimal, os, sys; print(*sys.modules, decimal.getcontext().prec, os.environ)"
    before = python.run(program(text)).stdout
    assert "decimal" in before
    python.run(program("import decimal, os, wave; decimal.getcontext().prec = 3; os.chdir('/')"))
    assert python.run(program(text)).stdout == before


def test_a_module_that_cannot_be_imported_is_named(program):
    with Warm("decimal", "no_such_module") as server, pytest.raises(RuntimeError, match="no_such"):
        server.run(program("print(1)"))


def test_a_program_that_is_given_up_ends_and_the_next_one_runs(python, program, tmp_path):
    begun, ended = tmp_path / "begun", tmp_path / "ended"

    def give_up(*_):
        if begun.exists():
            raise TimeoutError

    text = f"import time\nopen({str(begun)!r}, 'w')\ntime.sleep(1)\nopen({str(ended)!r}, 'w')"
    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    try:
        with pytest.raises(TimeoutError):
            python.run(program(text))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert python.run(program("print(1)")).stdout == "1\n"
    time.sleep(1)
    assert not ended.exists()
