"""SIGINT and SIGTERM as a request to stop after the current step."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ..errors import TrainingError


class Stopped(TrainingError):
    """Training was asked to stop by a signal (`signum`, 2 or 15), and has saved where it was."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.signum = signum


class StopRequest:
    """Holds the first signal that came, or 0."""

    def __init__(self) -> None:
        self.signum = 0

    def receive(self, signum: int, frame: FrameType | None) -> None:
        """Note a signal; a second Ctrl-C does not wait for the step to end."""
        if self.signum and signum == signal.SIGINT:
            raise KeyboardInterrupt
        self.signum = self.signum or signum

    def check(self) -> None:
        """Raise `Stopped` if a signal has come."""
        if self.signum:
            raise Stopped(f"stopped by {signal.Signals(self.signum).name}", self.signum)


@contextmanager
def catch_signals() -> Iterator[StopRequest]:
    """Turn SIGINT and SIGTERM into a `StopRequest` while the block runs."""
    request = StopRequest()
    before = {signum: signal.signal(signum, request.receive) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
