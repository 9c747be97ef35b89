"""Libraries that damaged files can crash, or make take all memory, run in a process of their own.

It is started at the first file, which takes a fifth of a second, reads one file after the other, and ends with this
process. Every thread has its own.
"""

import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ...errors import DataError
from .check import AGAIN, file_size, unpacked_limit

CHILD = Path(__file__).with_name("apart_child.py")
BYTES_A_SECOND = 10_000_000
START_SECONDS = 30
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # others would take 40 MB each of its bounded memory
_local = threading.local()


def read_apart(script: Path, path: str | Path, kind: str, package: str, **settings: Any) -> bytes:
    """Run a script on a file in the process apart, with bounded memory and time.

    Args:
        script: a script with a function `main(path, settings)` that returns a list of bytes. For a file that is whole
            but cannot be used it raises its own `Refusal`, with the words that follow the file's name; all other
            exceptions mean damage. It imports nothing of this package.
        path: the file.
        kind: what it should be, as in "is no whole ROS bag".
        package: what the script imports and may be missing.
        settings: what `main` gets, and in it `bytes`: how many it may return.

    Returns:
        The bytes in a row.

    Raises:
        DataError: if the file cannot be read, used, or the package is missing.
    """
    size = file_size(path)
    if not importlib.util.find_spec(package):
        raise DataError(f"{path} needs the package {package}: pip install 'braincog_tmkt[formats]'")
    request = {"script": str(script), "path": str(path), "settings": {"bytes": unpacked_limit(size), **settings}}
    seconds = START_SECONDS + size // BYTES_A_SECOND
    start = time.monotonic()
    child = _child()
    answer, content = child.ask(request, seconds)
    if answer is None:
        if time.monotonic() - start >= seconds:
            raise DataError(f"{path} could not be read in {seconds} seconds: it is corrupt; {AGAIN}")
        answer = {"reason": f"{package} ended with status {child.process.wait()}", "refused": False}
    if answer["refused"]:
        raise DataError(f"{path} {answer['reason'][:400]}")
    if answer["reason"]:
        raise DataError(f"{path} is no whole {kind} ({answer['reason'][:200]}): {AGAIN}")
    return content


class _Child:
    """The process apart of one thread."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | ONE_THREAD,
        )

    def ask(self, request: dict[str, Any], seconds: float) -> tuple[dict[str, Any] | None, bytes]:
        """The answer and the bytes behind it; no answer if the process ended, or had to be after so many seconds."""
        questions, answers = self.process.stdin, self.process.stdout
        assert questions
        assert answers
        timer = threading.Timer(seconds, self.process.kill)
        timer.daemon = True
        timer.start()
        try:
            questions.write(json.dumps(request).encode() + b"\n")
            questions.flush()
            line = answers.readline()
            answer = json.loads(line) if line.endswith(b"\n") else None
            content = answers.read(answer["size"]) if answer else b""
            whole = answer is not None and len(content) == answer["size"]
        except BrokenPipeError:
            return None, b""
        except BaseException:
            self.process.kill()  # it would answer the next question with this answer
            raise
        finally:
            timer.cancel()
        return (answer, content) if whole else (None, b"")


def _child() -> _Child:
    """The process apart of this thread; a new one if there is none, it ended, or it is that of a parent."""
    child: _Child | None = getattr(_local, "child", None)
    if child is None or child.owner != os.getpid() or child.process.poll() is not None:
        child = _local.child = _Child()
    return child
