"""Times of any unit as whole microseconds: the one place where units are recognised."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import DataError
from .check import MAX_TIME
from .reading import TIME_UNITS

SECONDS_SINCE_1970 = 10**9, 26 * 10**8
"""Clocks of the years 2001 to 2052."""
HOUR = 3600
MANY, SHORTEST = 100, 1000
CERTAIN = 0.2


def microseconds(time: np.ndarray, path: str | Path, unit: str | None = None) -> np.ndarray:
    """Times in whole microseconds, without loss.

    Without a unit, it is one that is certain:

    ===========================================================  =======================================
    times                                                        unit
    ===========================================================  =======================================
    whole numbers                                                microseconds, with the exceptions below
    ... of 1e18 to 2.6e18, a clock since 1970                    nanoseconds
    ... of 1e12 to 2.6e12                                        asked for (ms since 1970, us)
    ... more than 100 events within fewer than 1,000 units       asked for (s, ms, us)
    ... more than 100, but less than one in 1,000 units, over    asked for (us, ns)
    more than an hour of us, or all multiples of 1,000
    with fractions, 1e9 to 2.6e9, a clock since 1970             seconds
    ... 1e12 to 2.6e12                                           milliseconds
    ... all multiples of 0.001                                   asked for (s, ms, us)
    ... all multiples of 1e-6 or 1e-9, over less than an hour    seconds
    ... all others                                               asked for
    ===========================================================  =======================================

    Parts of a microsecond are rounded down in `ns` and `us`, and to the nearest in `s` and `ms`, whose decimals are
    inexact in binary.

    Args:
        time: `[N]`, of any integer, boolean or float type.
        path: the file, for the message.
        unit: one of `TIME_UNITS`.

    Raises:
        DataError: if the unit is not certain, or a time is negative, not a number or too large.

    Example:
        >>> microseconds(np.array([0.25, 0.250001]), "made.txt", "s").tolist()
        [250000, 250001]
    """
    if not time.size:
        return time.astype(np.int64)
    low, high = time.min().item(), time.max().item()
    if not (low >= 0 and high < np.inf):  # refuses NaN, too
        raise DataError(
            f"{path} has values of t from {low} to {high}, no times from 0 on: write them from 0 on, or, if another"
            " column is t, name it in data.columns"
        )
    unit = unit or _certain_unit(time, path)
    factor = TIME_UNITS[unit]
    if high > (MAX_TIME // factor if factor >= 1 else MAX_TIME * 1000):
        raise DataError(
            f"{path} has values of t up to {high} {unit}, beyond 2^62 microseconds: correct data.time_unit, or"
            " data.columns, which says which column is t"
        )
    if time.dtype.kind == "f":
        time = time.astype(np.result_type(time, np.float64))
        time = np.rint(time * factor) if factor > 1 else np.floor(time if factor == 1 else time / 1000)
        return time.astype(np.int64)
    if factor < 1:
        return (time.astype(np.uint64) // 1000).astype(np.int64)
    return time.astype(np.int64) * factor


def _certain_unit(time: np.ndarray, path: str | Path) -> str:
    """The unit of times that says itself, as in the table of `microseconds`; a DataError where it does not."""
    low, high = time.min().item(), time.max().item()
    span = high - low
    first, last = SECONDS_SINCE_1970
    clocks = {unit: first * scale <= low and high <= last * scale for unit, scale in (("s", 1), ("ms", 1000))}
    if time.dtype.kind != "f" or (time == np.floor(time)).all():
        if first * 10**9 <= low and high <= last * 10**9:
            return "ns"
        likely = {
            "us or ms": clocks["ms"],
            "us, ms or s": span < SHORTEST and time.size > MANY,
            "us or ns": MANY < time.size < span / 1000 and (span > HOUR * 10**6 or bool((time % 1000 == 0).all())),
        }
        if not any(likely.values()):
            return "us"
        units = next(units for units, holds in likely.items() if holds)
    else:
        if found := [unit for unit, holds in clocks.items() if holds]:
            return found[0]
        units = "s, ms or us"
        if not _multiples(time, 1e3) and span < HOUR and (_multiples(time, 1e6) or _multiples(time, 1e9)):
            return "s"
    raise DataError(f"{path} has {time.size} times from {low} to {high}, which may be {units}: set data.time_unit")


def _multiples(time: np.ndarray, parts: float) -> bool:
    """Whether all times are multiples of one over `parts`, as far as their type can tell."""
    error = float(np.finfo(time.dtype).eps * time.max()) * parts
    with np.errstate(over="ignore"):  # then the error is too large, too
        scaled = time.astype(np.result_type(time, np.float64)) * parts
    return error < CERTAIN and bool((abs(scaled - np.rint(scaled)) <= max(error, 1e-6)).all())
