"""Run by `apart.py` in a process of its own. Arguments: the script, the file, and settings as JSON."""

import json
import runpy
import sys

WHOLE = 3


def bound_memory(unpacked: int) -> None:
    """Let this process allocate little more than the file may unpack to, and leave no core, where the system can."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (2**28 + 2 * unpacked, 2**28 + 2 * unpacked))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, OSError, ValueError):
        pass


def main(script: str, path: str, given: str) -> None:
    """Run the script's `main`; where it fails, end with the reason in the last line of the standard error."""
    settings = json.loads(given)
    bound_memory(settings["bytes"])
    names = runpy.run_path(script)
    try:
        names["main"](path, settings)
    except Exception as error:
        print(" ".join(str(error).split()) or type(error).__name__, file=sys.stderr)
        sys.exit(WHOLE if isinstance(error, names["Refusal"]) else 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
