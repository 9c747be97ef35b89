"""What becomes of Ctrl-C while the command `tmkt` imports its libraries: the first thing that the package imports."""

import os
import signal
import sys

MODULES = ("braincog_tmkt.cli", "braincog_tmkt.cli.__main__")


def is_command() -> bool:
    """Whether this process is `tmkt` or `python -m braincog_tmkt.cli`, and not a program that imports the package."""
    asked = sys.orig_argv
    module = asked[asked.index("-m") + 1] in MODULES if "-m" in asked[:-1] else False
    script = os.path.splitext(os.path.basename(sys.argv[0]))[0] == "tmkt"
    return (module or script) and "multiprocessing" not in sys.modules  # whose workers have the same arguments


def restore() -> None:
    """Have Ctrl-C raise `KeyboardInterrupt` again, as Python does."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# `getsignal`: a signal that is ignored (`nohup`) stays so.
if is_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the process ends at once, without a traceback
