"""Compiled kernels where their machine code can be kept, and where it cannot."""

import numba
import numpy as np
import pytest

from braincog_tmkt.jit import compiled


def test_a_kernel_is_made_where_no_machine_code_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def double(numbers):  # type: ignore[no-untyped-def]
        for index in range(numbers.size):
            numbers[index] *= 2

    compiled(double)(np.arange(3))  # numba imports what it needs, which uses njit itself
    original, asked = numba.njit, []

    def njit(cache: bool = False, **options: bool) -> object:
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return original(**options)

    monkeypatch.setattr(numba, "njit", njit)
    numbers = np.arange(3)
    compiled(double)(numbers)
    assert numbers.tolist() == [0, 2, 4]
    assert asked == [True, False]


def test_a_kernel_may_call_another() -> None:
    @compiled
    def twice(number):  # type: ignore[no-untyped-def]
        return 2 * number

    @compiled
    def total(numbers):  # type: ignore[no-untyped-def]
        result = 0
        for number in numbers:
            result += twice(number)
        return result

    assert total(np.arange(4)) == 12
