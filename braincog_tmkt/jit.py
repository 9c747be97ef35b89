"""Machine code for loops that numpy and torch would walk many times."""

from collections.abc import Callable
from functools import cache, wraps
from typing import Any


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a kernel at its first call; keep the machine code on the disk where there is a place for it.

    numba is imported at that call, too. A kernel cannot call another one.

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

    @cache
    def machine_code() -> Callable[..., Any]:
        from numba import njit

        try:
            return njit(nogil=True, cache=True)(function)
        except RuntimeError:  # numba found no folder it may write
            return njit(nogil=True)(function)

    @wraps(function)
    def call(*arguments: Any) -> Any:
        return machine_code()(*arguments)

    return call
