"""Machine code for loops that numpy and torch would walk many times."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, update_wrapper
from typing import Any


class compiled:
    """Compile a kernel at its first call; keep the machine code on the disk where there is a place for it.

    Numba is imported at that call, not before. One kernel may call another.

    Example:
        >>> @compiled
        ... def total(numbers):
        ...     result = 0
        ...     for number in numbers:
        ...         result += number
        ...     return result
        >>> total((1, 2, 3))
        6
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        update_wrapper(self, function)

    def __call__(self, *args: Any) -> Any:
        """Run the kernel."""
        return self._kernel(*args)

    @cached_property
    def _kernel(self) -> Any:
        from numba import njit

        try:
            return njit(nogil=True, cache=True)(self.function)
        except RuntimeError:  # numba found no folder it may write
            return njit(nogil=True)(self.function)

    @property
    def _numba_type_(self) -> Any:
        """What numba asks for where a kernel calls this one."""
        return self._kernel._numba_type_
