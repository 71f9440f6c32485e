"""Run Python programs in processes that have imported already what takes long to import.

    with Warm("torch", "zarr") as python:
        python.run([script, "--flag"])

A server imports the modules once and forks for each program. The fork has arguments, environment,
folder and streams of its own and ends as any process, so nothing of a program stays for the next.
What a program does while it imports, how long it takes to start, and what happens to its process
from outside are no matter for this: such tests start a process of their own. So do tests that two
runs give the same bytes: all forks of a server have one order of sets and one state of np.random.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile


class Warm:
    """A server with some modules, which starts with the first program."""

    def __init__(self, *modules: str):
        self.modules = modules
        self.server: subprocess.Popen | None = None

    def __enter__(self) -> "Warm":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """End the server, and a program that still runs."""
        if self.server:
            os.killpg(self.server.pid, signal.SIGKILL)
            self.server.communicate()
            self.server = None

    def run(
        self, arguments: Sequence[object], cwd: Path | None = None, env: dict | None = None
    ) -> subprocess.CompletedProcess:
        """Like `subprocess.run` of this Python with arguments: a script, or -m and a module."""
        words = [str(word) for word in arguments]
        with NamedTemporaryFile("r") as out, NamedTemporaryFile("r") as err:
            code = self._ask(
                arguments=words,
                folder=str(cwd or Path.cwd()),
                environment=dict(os.environ if env is None else env),
                streams=[out.name, err.name],
            )
            texts = [out.read(), err.read()]
        return subprocess.CompletedProcess([sys.executable, *words], code, *texts)

    def _ask(self, **program: object) -> int:
        """Have the server run a program; its exit code."""
        self.server = self.server or self._start()
        try:
            self.server.stdin.write(json.dumps(program) + "\n")
            self.server.stdin.flush()
            code = self.server.stdout.readline()
            if not code:
                raise RuntimeError(f"cannot import one of {', '.join(self.modules)}")
            return int(code)
        except BaseException:  # also a test that ran out of time: the program must not go on
            self.close()
            raise

    def _start(self) -> subprocess.Popen:
        command = [sys.executable, __file__, *self.modules]
        pipe = subprocess.PIPE
        env = os.environ | {
            "PYTHONPATH": os.pathsep.join(sys.path),  # it finds what this process finds
            # As the steps set it for themselves, which is too late for a library that is loaded.
            "OMP_WAIT_POLICY": "PASSIVE",
        }
        return subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, start_new_session=True, env=env
        )


def serve(modules: Sequence[str]) -> None:
    """Import modules; then read one program per line, run it in a fork, and write its exit code."""
    ending = Ending()
    atexit.register(ending.leave)  # the first one, so it comes last
    for name in modules:
        importlib.import_module(name)
    gc.freeze()
    for line in sys.stdin:
        program = os.fork()
        if program == 0:
            with ending:
                become(**json.loads(line))
            return
        _, status = os.waitpid(program, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


class Ending:
    """Leaves as soon as a program has done all that it wants at its end.

    Taking all modules apart one by one, as Python does then, would take longer than most programs.
    """

    code = 0

    def __enter__(self) -> None:
        pass

    def __exit__(self, _, error: BaseException | None, __) -> None:
        """Note the exit code; what was raised goes on, so that Python prints it."""
        if isinstance(error, SystemExit):
            is_code = error.code is None or isinstance(error.code, int)
            self.code = (error.code or 0) if is_code else 1
        elif error is not None:
            self.code = 1

    def leave(self) -> None:
        """End the process."""
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(self.code)


def become(
    arguments: list[str], folder: str, environment: dict[str, str], streams: list[str]
) -> None:
    """Go on as another program."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate((os.devnull, *streams)):
        file = os.open(path, os.O_RDWR)
        os.dup2(file, number)
        os.close(file)
    if arguments[0] == "-m":
        sys.path[0] = folder
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = os.path.dirname(arguments[0])
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    serve(sys.argv[1:])
