"""What the device computes and the host wants to know, without either waiting for the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

LAG = {"cpu": 0, "cuda": 2}
"""How many sends later values are read, by kind of device; on the CPU there is nothing to wait for."""


class DeferredValues:
    """Brings small tensors from the device to the host and has them read there, in the order they were sent.

    A GPU copies them in the background, and they are read two sends later, when they have long arrived: the host waits
    only if it is further ahead than that. The delay counts sends, not time, so that processes that send together also
    read, and fail, together.

    Args:
        device: where the values come from.
        read: called with the tag and the values of each send; what it raises reaches the caller of `send` or `flush`.

    Example:
        >>> late = DeferredValues(torch.device("cpu"), lambda tag, values: print(tag, values))
        >>> late.send("losses", torch.tensor([0.5, 0.25]))
        losses [0.5, 0.25]
    """

    def __init__(self, device: torch.device, read: Callable[[Any, list[float]], None]) -> None:
        self._read, self._lag = read, LAG[device.type]
        self._waiting: deque[tuple[Any, Tensor, torch.cuda.Event | None]] = deque()

    def send(self, tag: Any, values: Tensor) -> None:
        """Start copying `values` `[n]`, and read what was sent long enough ago."""
        host = values.to("cpu", non_blocking=values.is_cuda)  # into pinned memory, which torch takes for such copies
        arrival = torch.cuda.current_stream(values.device).record_event() if values.is_cuda else None
        self._waiting.append((tag, host, arrival))
        self._read_down_to(self._lag)

    def flush(self) -> None:
        """Read all that was sent; waits for it."""
        self._read_down_to(0)

    def _read_down_to(self, left: int) -> None:
        while len(self._waiting) > left:
            tag, values, arrival = self._waiting.popleft()
            if arrival is not None:
                arrival.synchronize()
            self._read(tag, values.tolist())
