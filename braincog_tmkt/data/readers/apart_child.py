"""The process that `apart.py` starts: it answers each line of JSON with a line of JSON and bytes."""

import json
import os
import runpy
import sys
from functools import cache
from typing import Any


def bound_memory(unpacked: int) -> None:
    """Let this process take little more than the file may unpack to, and leave no core, where the system can."""
    try:
        import resource

        with open("/proc/self/statm") as file:
            used = int(file.read().split()[5]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        most = used + 2**28 + 2 * unpacked
        resource.setrlimit(resource.RLIMIT_DATA, (most if hard < 0 else min(most, hard), hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, OSError, ValueError):
        pass


@cache
def names_of(script: str) -> dict[str, Any]:
    """What a script defines."""
    return runpy.run_path(script)


def answer(request: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
    """What the script makes of the file, or why it makes nothing of it."""
    names = names_of(request["script"])
    bound_memory(request["settings"]["bytes"])
    try:
        parts: list[bytes] = names["main"](request["path"], request["settings"])
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        return {"reason": reason, "refused": isinstance(error, names["Refusal"]), "size": 0}, []
    return {"reason": "", "refused": False, "size": sum(map(len, parts))}, parts


def main() -> None:
    """Answer until the other side ends."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not come between the answers
    for line in sys.stdin.buffer:
        head, parts = answer(json.loads(line))
        out.write(json.dumps(head).encode() + b"\n")
        out.writelines(parts)
        out.flush()
        del parts


if __name__ == "__main__":
    main()
