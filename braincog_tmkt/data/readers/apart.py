"""Libraries that damaged files can crash, or make take all memory, run in a process of their own.

It is started at the first file, which takes a fifth of a second or more, reads one file after the other with bounded
memory and time, and ends with this process.
"""

from __future__ import annotations

import atexit
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


class Apart:
    """A process that runs one script on files; every process of this program has its own.

    Args:
        script: defines `main(path, settings)`, which returns a head, as for JSON, and a list of bytes. For a file that
            is whole but cannot be used it raises its own `Refusal`, with the words that follow the file's name; all
            other exceptions mean damage. It imports nothing of this package.
        kind: what a file should be, as in "is a truncated or corrupt ROS bag".
        package: what the script imports and may be missing.
        spoils: whether a damaged file ends the process, because the library may read the next one wrongly.
    """

    def __init__(self, script: Path, kind: str, package: str, spoils: bool = False) -> None:
        self.script, self.kind, self.package, self.spoils = script, kind, package, spoils
        self.child: subprocess.Popen[bytes] | None = None
        self.lock = threading.Lock()
        atexit.register(self.end)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.forget)

    def read(self, path: str | Path, **settings: Any) -> tuple[Any, list[bytes]]:
        """The head and the bytes that the script makes of a file.

        The script's settings have `bytes`, too: how many it may return.

        Raises:
            DataError: if the file cannot be read or used, or the package is missing.
        """
        size = file_size(path)
        if not importlib.util.find_spec(self.package):
            raise DataError(f"{path} needs the package {self.package}: pip install 'braincog_tmkt[formats]'")
        ask = {"path": os.path.abspath(path), "settings": {"bytes": unpacked_limit(size), **settings}}
        seconds = START_SECONDS + size // BYTES_A_SECOND
        with self.lock:
            used = self.child is not None
            said, parts = self._asked(ask, seconds)
            if used and "damage" in said and not self.child:  # a file before this one may have spoilt it
                said, parts = self._asked(ask, seconds)
        if "damage" in said:
            raise DataError(f"{path} {said['damage']}; {AGAIN}")
        if "refusal" in said:
            raise DataError(f"{path} {' '.join(said['refusal'].split())[:500]}")
        return said["head"], parts

    def _asked(self, ask: dict[str, Any], seconds: int) -> tuple[dict[str, Any], list[bytes]]:
        """One answer of the child."""
        child = self.child = self.child or self._started()
        assert child.stdin
        assert child.stdout
        said: dict[str, Any] = {"damage": ""}
        parts: list[bytes] = []
        whole = False
        late, start = threading.Timer(seconds, child.kill), time.monotonic()
        late.daemon = True
        late.start()
        try:
            child.stdin.write(json.dumps(ask).encode() + b"\n")
            child.stdin.flush()
            said = json.loads(child.stdout.readline())
            parts = [child.stdout.read(size) for size in said.get("sizes", ())]
            whole = [len(part) for part in parts] == said.get("sizes", [])
        except (OSError, ValueError):  # it ended, even inside its answer
            pass
        finally:
            late.cancel()
            if not whole or (self.spoils and "damage" in said):  # or it was interrupted: the answer is still to come
                self.end()
        said = said if whole else {"damage": ""}
        if "damage" in said:
            reason = " ".join(said["damage"].split())[:200] or f"{self.package} ended with status {child.returncode}"
            said["damage"] = f"is a truncated or corrupt {self.kind} ({reason})"
            if time.monotonic() - start >= seconds:
                said["damage"] = f"could not be read in {seconds} seconds: it is corrupt"
        return said, parts

    def _started(self) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, "-P", str(CHILD), str(self.script)],
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.DEVNULL,
            env=os.environ | ONE_THREAD,
        )

    def end(self) -> None:
        """End the child, if there is one."""
        child, self.child = self.child, None
        if child:
            child.kill()
            child.communicate()

    def forget(self) -> None:
        """In a process that was forked: leave the child to the parent."""
        child, self.child, self.lock = self.child, None, threading.Lock()
        if child:
            child.returncode = 0  # not ours to wait for
            nowhere = os.open(os.devnull, os.O_RDWR)
            for pipe in (child.stdin, child.stdout):
                if pipe:
                    os.dup2(nowhere, pipe.fileno())
            os.close(nowhere)
