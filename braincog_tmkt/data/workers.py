"""Worker processes that answer neither Ctrl-C nor outlive their parent."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait


@contextmanager
def interrupts_for_this_process_alone() -> Iterator[None]:
    """Hold Ctrl-C back while the block starts processes.

    A terminal sends SIGINT to all processes of a command. What is started inside never sees it, not even while it still
    imports; this process gets it at the end of the block.
    """
    resource_tracker.ensure_running()  # multiprocessing starts it first, and would let the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_worker() -> None:
    """Set up a worker process: the parent alone answers Ctrl-C, and a worker whose parent was killed ends, too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None  # workers only

    def follow() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
