"""Libraries that damaged files can crash, or make take all memory, run in a process of their own."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import DataError
from .check import AGAIN, file_size, unpacked_limit

CHILD = Path(__file__).with_name("apart_child.py")
WHOLE = 3
"""The status with which the child ends if the file is whole, but cannot be used; its last line says why."""
BYTES_A_SECOND = 10_000_000
START_SECONDS = 30
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # others would take 40 MB each of its bounded memory


def read_apart(script: Path, path: str | Path, kind: str, package: str, **settings: Any) -> bytes:
    """Run a script on a file in a process of its own, with bounded memory and time; it takes a fifth of a second.

    Args:
        script: the script, with a function `main(path, settings)` that writes to standard output; it imports nothing of
            this package. It raises its own `Refusal` for a file that is whole, but cannot be used, with the words that
            follow the file's name; all other exceptions mean damage.
        path: the file.
        kind: what it should be, as in "is no whole ROS bag".
        package: what the script imports.
        settings: what `main` gets, and in it `bytes`: how many it may write.

    Returns:
        What the script wrote.

    Raises:
        DataError: if the file cannot be read, used, or the package is missing.
    """
    size = file_size(path)
    if not importlib.util.find_spec(package):
        raise DataError(f"{path} needs the package {package}: pip install 'braincog_tmkt[formats]'")
    given: Mapping[str, Any] = {"bytes": unpacked_limit(size), **settings}
    command = [sys.executable, "-P", str(CHILD), str(script), str(path), json.dumps(given)]
    seconds = START_SECONDS + size // BYTES_A_SECOND
    env = os.environ | ONE_THREAD
    try:
        child = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, env=env)
    except subprocess.TimeoutExpired as error:
        raise DataError(f"{path} could not be read in {seconds} seconds: it is corrupt; {AGAIN}") from error
    lines = child.stderr.decode(errors="replace").split("\n")
    if child.returncode == WHOLE:
        raise DataError(f"{path} {lines[-2][:400]}")
    if child.returncode:
        reason = lines[-2][:200] if len(lines) > 1 else f"{package} ended with status {child.returncode}"
        raise DataError(f"{path} is no whole {kind} ({reason}): {AGAIN}")
    return child.stdout
