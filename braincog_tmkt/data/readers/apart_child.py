"""The process that `apart.py` starts, with a script: it answers each line of JSON with a line of JSON and bytes."""

import json
import os
import runpy
import signal
import sys
from contextlib import suppress
from typing import Any


def bound_memory(unpacked: int) -> None:
    """Let this process allocate little more than the file may unpack to, and leave no core, where the system can."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        most = 2**28 + 2 * unpacked
        resource.setrlimit(resource.RLIMIT_DATA, (most if hard < 0 else min(most, hard), hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def answer(names: dict[str, Any], path: str, settings: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """What the script makes of the file, or why it makes nothing of it."""
    bound_memory(settings["bytes"])
    try:
        head, parts = names["main"](path, settings)
    except names["Refusal"] as error:
        return {"refusal": str(error)}, []
    except Exception as error:
        return {"damage": str(error) or type(error).__name__}, []
    return {"head": head, "sizes": [len(part) for part in parts]}, parts


def main(script: str) -> None:
    """Answer until the other side closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the process that asks decides
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not come between the answers
    names = runpy.run_path(script)
    for line in sys.stdin.buffer:
        said, parts = answer(names, **json.loads(line))
        out.write(json.dumps(said).encode() + b"\n")
        out.writelines(parts)
        out.flush()
        del parts


if __name__ == "__main__":
    main(sys.argv[1])
