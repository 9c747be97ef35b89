"""Events that frames do not show: stray ones, those behind the last time slice, those between the resized pixels."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..jit import compiled
from .frames import RESIZES, extent
from .notes import remark
from .types import FrameSpec

FEWEST = 100
"""A recording of fewer events has no stray ones: a single one is more than a hundredth of it."""
ODD = 1000
"""At most one event in so many is stray; in a shorter recording, one."""
GAP = 2
"""Stray events lie beyond a gap of more than so many times the range of all others."""

SOME = 20
"""If at most one event in so many lies beyond such a gap, but too many to be stray, it is said."""

SLICED = {
    "time": "no frame holds them",
    "frequency": "the last frame takes them all",
    "event": "the last frame takes them all",
}
"""Kinds of frames with time slices of equal length -> what becomes of events behind the last one."""
LATE_SAID, LATE_MOST = 0.01, 0.1
"""Share of events behind the last slice from which it is said, and above which the recording is refused."""
SEEN_SAID = 0.5
"""It is said if frames see a smaller share of the events."""


def without_strays(events: np.ndarray) -> np.ndarray:
    """The events without the few that lie far from all others, for frames that show a recording's own extent.

    One broken coordinate would make the frame so wide that nothing is left of the picture. On each axis, start with the
    narrowest range around all but one in `ODD` of the events (rounded down, but at least one), and widen it to the
    next event on either side, unless there is a gap of more than `GAP` times its own width in between. Whatever is then
    outside is stray; a remark says what was left out. A recording without such a gap, or of fewer than `FEWEST` events,
    stays as it is.

    Example:
        >>> from braincog_tmkt.data.types import EVENT_DTYPE
        >>> events = np.zeros(200, EVENT_DTYPE)
        >>> events["x"] = np.arange(200) % 30
        >>> events["x"][7] = 3000
        >>> len(without_strays(events))
        199
    """
    if len(events) < FEWEST:
        return events
    kept = _dense(events, max(1, len(events) // ODD))
    if kept.all():
        few = len(events) - int(_dense(events, len(events) // SOME).sum())
        if few:
            remark(
                "a few events far from all others, but too many to be left out, stretch the frames of",
                f"{few} of {len(events)} events",
                "remove them, or set data.sensor=[height,width] to refuse them",
                few / len(events),
            )
        return events
    stray = events[~kept]
    remark(
        "stray events, far from all others, are left out of",
        f"{len(stray)} of {len(events)} events, the first at x = {stray['x'][0]}, y = {stray['y'][0]}",
        "data.sensor=[height,width] refuses them instead",
        len(stray) / len(events),
    )
    return events[kept]


def _dense(events: np.ndarray, spare: int) -> np.ndarray:
    """Which events lie in the dense range of both axes, bool `[N]`; `spare` as for `_dense_range`."""
    kept = np.ones(len(events), bool)
    for axis in "xy":
        low, high = _dense_range(events[axis], spare)
        kept &= (events[axis] >= low) & (events[axis] <= high)
    return kept


def _dense_range(column: np.ndarray, spare: int) -> tuple[int, int]:
    """The narrowest range with all coordinates but `spare` of them, widened over gaps as `without_strays` says."""
    places, numbers = np.unique(column, return_counts=True)
    before = np.concatenate([[0], np.cumsum(numbers)])  # coordinates to the left of each place
    starts = np.flatnonzero(before[:-1] <= spare)
    ends = np.searchsorted(before, before[starts] + len(column) - spare) - 1
    best = np.argmin(places[ends] - places[starts])
    low, high = int(starts[best]), int(ends[best])
    while True:
        reach = GAP * (int(places[high]) - int(places[low]) + 1) + 1  # Python's integers: times may be large
        if low > 0 and places[low] - places[low - 1] <= reach:
            low -= 1
        elif high < len(places) - 1 and places[high + 1] - places[high] <= reach:
            high += 1
        else:
            return int(places[low]), int(places[high])


def check_slices(events: np.ndarray, spec: FrameSpec, place: str | Path) -> None:
    """Refuse a recording whose times are so coarse that its T time slices end long before it does, or say so.

    A slice lasts (last time - first time) // T units: of 20 pictures numbered 0 to 19, ten slices take those from 0 to
    9. In microseconds the rest is next to nothing. The last event, which lies behind the last slice in every recording,
    does not count. Kinds of frames without slices of equal length are not checked. `place` is the file, for the
    message.

    Raises:
        DataError: if more than a tenth of the events lie behind the last slice.
    """
    duration = int(events["t"][-1] - events["t"][0])
    window = duration // spec.steps
    if spec.slices not in SLICED or not window:  # without a length, no slice holds anything: frames are empty
        return
    _check_gaps(events["t"], spec)
    late = len(events) - int(np.searchsorted(events["t"], events["t"][0] + window * spec.steps)) - 1
    share = late / len(events)
    if share <= LATE_SAID:
        return
    here = f"{late} of {len(events)} events, {share:.0%}: its times span {duration} microseconds, {spec.steps} slices"
    here = f"{here} of {window} end at {window * spec.steps}"
    fate = f"behind the last time slice, where {SLICED[spec.slices]}"
    advice = f"take {spec.by_number}, write times in microseconds, or choose another T (data.steps)"
    if share > LATE_MOST:
        raise DataError(f"{place} has events {fate} ({here}): {advice}")
    remark(f"events lie {fate}, in", here, advice, share)


def _check_gaps(t: np.ndarray, spec: FrameSpec) -> None:
    """Remark on a few times far from all others, such as a zero before a clock is set, that stretch the slices."""
    spare = max(1, len(t) // ODD)
    if len(t) < FEWEST or t[-1] - t[0] <= (GAP + 1) * int((t[len(t) - spare - 1 :] - t[: spare + 1]).min()):
        return  # as nearly always: no gap can be wide enough
    first, last = _dense_range(t, spare)
    few = len(t) - int(((t >= first) & (t <= last)).sum())
    if few:
        remark(
            "a few events far in time from all others stretch the time slices of",
            f"{few} of {len(t)} events; all others lie within {last - first} of {t[-1] - t[0]} microseconds",
            f"remove them, or take {spec.by_number}",
            1 - (last - first) / float(t[-1] - t[0]),
        )


def check_seen(
    events: np.ndarray, spec: FrameSpec, sensor: tuple[int, int] | None, crop: tuple[int, int, int, int] | None
) -> None:
    """Remark on frames that show less than half of the events, since their resize looks at few of the pixels.

    The arguments are those of `frames.to_frames`.
    """
    if spec.antialias or spec.kind not in RESIZES:
        return
    first, last, top, bottom = extent(events) if sensor is None else (0, sensor[0] - 1, 0, sensor[1] - 1)
    left, above, width, height = crop or (0, 0, last - first + 1, bottom - top + 1)
    rows, columns = (_looked_at(spec.kind, *sides) for sides in zip((height, width), spec.shape, strict=True))
    if crop is None and rows.all() and columns.all():
        return
    share = _count_seen(events, first + left, top + above, rows, columns) / len(events)
    if share < SEEN_SAID:
        remark(
            f"less than half of the events are seen in {spec.in_words} frames of the kind '{spec.kind}', whose"
            " resize leaves out pixels, in",
            f"{share:.0%} of {len(events)} events, on {width}x{height} pixels",
            "data.antialias=true averages over all pixels",
            1 - share,
        )


@lru_cache(maxsize=1024)
def _looked_at(kind: str, pixels: int, size: int) -> np.ndarray:
    """Which pixels of a row the resize gives any weight, bool `[pixels]`: it resizes each of them alone."""
    import torch

    single = torch.eye(pixels)[:, None, :, None]
    return (RESIZES[kind](single, (size, 1)) != 0).flatten(1).any(1).numpy()


@compiled
def _count_seen(events, left, top, rows, columns):  # type: ignore[no-untyped-def]
    """The number of events on pixels that are in one of the rows and in one of the columns."""
    seen = 0
    for event in events:
        y, x = event.y - top, event.x - left
        if 0 <= y < rows.size and 0 <= x < columns.size and rows[y] and columns[x]:
            seen += 1
    return seen
