"""The command `tmkt`: arguments (`parser`), what they do (`verbs`), and how it ends."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Sequence

from ..errors import TmktError
from ..terminal import painted
from .parser import parse
from .verbs import is_first

__all__ = ["main"]

TORCH_WANTS_MEMORY = "can't allocate memory", "out of memory"  # on the CPU, on a GPU
NO_ROOM = errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG
LESS_MEMORY = "take a smaller train.batch, data.steps, data.size or model.width, or set model.recompute=true"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 1 found something wrong, 2 could not, 128 + n by signal n."""
    _open_streams()
    try:
        arguments = parse(sys.argv[1:] if argv is None else argv)
        good = arguments.verb(arguments)
    except TmktError as error:
        return _failed(str(error), 128 + error.signum if hasattr(error, "signum") else 2)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not any(words in str(error) for words in TORCH_WANTS_MEMORY):
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return _failed(f"the memory does not suffice ({reason}): {LESS_MEMORY}")
    except ImportError as error:
        if (error.name or "").startswith("braincog_tmkt"):
            raise
        return _failed(f"{error}: run `tmkt doctor`, which shows what is missing here and how to install it")
    except KeyboardInterrupt:
        return _failed("interrupted: run the same command again", 128 + signal.SIGINT)
    except BrokenPipeError:
        return _unread()
    except OSError as error:
        if error.filename is not None or error.errno not in NO_ROOM:
            raise
        return _unwritten(error)
    return _flushed(0 if good is not False else 1)


def _failed(message: str, status: int = 2) -> int:
    """Print an error and return the status; all processes of a run raise the same one, and the first prints it."""
    if is_first():
        print(f"{painted('error:', 'red', sys.stderr)} {message}", file=sys.stderr)
    return _flushed(status)


def _flushed(status: int) -> int:
    """The status, once the output is written."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _unread()
    except OSError as error:
        return _unwritten(error)
    return status


def _unwritten(error: OSError) -> int:
    """Standard output is a file on a full disk, or the like."""
    _unread()
    return _failed(f"the output cannot be written: {error.strerror}: send it to another file or disk")


def _unread() -> int:
    """Whoever read the output has seen enough: Python writes the rest nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE


def _open_streams() -> None:
    """Make sure that output has somewhere to go: a closed stream is as good as /dev/null, and what a terminal's
    encoding lacks is escaped.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:  # or the next file that is opened would take its place
            setattr(sys, name, open(_devnull(number), mode, closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace", line_buffering=True)  # a log is read while it grows


def _devnull(number: int) -> int:
    """/dev/null as this file descriptor."""
    opened = os.open(os.devnull, os.O_RDWR)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)
    return number
