"""Processes that have everything imported when they start: forks of a server that imports torch and BrainCog once.

For tests of what a process does. What a fresh interpreter does is a test for `subprocess`.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["tests.preloaded"])


class Child:
    """A function in a process of its own; used as `subprocess.Popen` with pipes for its output is.

    Args:
        function: what it does; its result is the exit status.
        arguments: picklable.
        cwd: folder it starts in; the current one if None.
        env: its environment; this process' if None.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ):
        pipes = [FORKED.Pipe(duplex=False) for _ in range(2)]
        environment = dict(os.environ if env is None else env)
        given = str(cwd or Path.cwd()), environment, *(end for _, end in pipes), function, arguments
        self.process = FORKED.Process(target=_run, args=given)
        self.process.start()
        self.pid = self.process.pid
        self.stdout, self.stderr = (_reader(end) for end, _ in pipes)
        for _, end in pipes:
            end.close()

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise subprocess.TimeoutExpired("a child", timeout or 0)
        return self.process.exitcode

    def send_signal(self, signum: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, signum)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def communicate(self, timeout: float = 240) -> tuple[str, str]:
        """Read standard output and error to their ends, and wait."""
        said: list[str] = []
        other = threading.Thread(target=lambda: said.append(self.stderr.read()))
        watch = threading.Timer(timeout, self.kill)
        other.start(), watch.start()
        out = self.stdout.read()
        other.join()
        late = not watch.is_alive()
        watch.cancel()
        self.wait(timeout)
        if late:
            raise subprocess.TimeoutExpired("a child", timeout, out, said[0])
        return out, said[0]


def run(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> subprocess.CompletedProcess[str]:
    """Run a function in a process of its own; its exit status and what it printed."""
    child = Child(function, *arguments, **keywords)
    out, err = child.communicate()
    return subprocess.CompletedProcess(function, child.wait(), out, err)


def together(function: Callable[..., Any], *arguments: Any) -> list[int | None]:
    """Run `function(rank, *arguments)` in two processes at the same time; how they ended."""
    processes = [FORKED.Process(target=function, args=(rank, *arguments)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    return [process.exitcode for process in processes]


def execute(code: str) -> None:
    """The code of a program."""
    exec(compile(code, "<code>", "exec"), {"__name__": "__main__"})


def _reader(end: Connection) -> Any:
    with end:
        return os.fdopen(os.dup(end.fileno()), encoding="utf-8", newline="")


def _run(
    cwd: str,
    environment: dict[str, str],
    out: Connection,
    err: Connection,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    warnings.simplefilter("ignore")
    for number, end in ((1, out), (2, err)):
        os.dup2(end.fileno(), number)
        end.close()
    sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, encoding="utf-8", closefd=False) for number in (1, 2))
    try:
        sys.exit(function(*arguments))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
