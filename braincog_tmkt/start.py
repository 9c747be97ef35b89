"""The first thing this package imports: what becomes of Ctrl-C while the command `tmkt` still imports its libraries."""

import signal
import sys
from pathlib import Path


def is_command() -> bool:
    """Whether the process runs `tmkt` or `python -m braincog_tmkt.cli`, and not a program that imports the package."""
    asked = sys.orig_argv[sys.orig_argv.index("-m") + 1 :][:1] if "-m" in sys.orig_argv else []
    return asked in (["braincog_tmkt.cli"], ["braincog_tmkt.cli.__main__"]) or Path(sys.argv[0]).stem == "tmkt"


def die_quietly() -> bool:
    """Have Ctrl-C end the command as it ends others, without a traceback; until `cli.main` takes over.

    A program that imports the package, and one for which the signal is ignored (`nohup`), stay as they are.
    """
    if not is_command() or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return False
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return True


def stay_alive() -> None:
    """Have Ctrl-C raise `KeyboardInterrupt` again."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
