"""The words of Prophesee's cameras, EVT 2.0, 2.1 and 3.0, as `.raw` files and ROS messages contain them.

They are decoded here, by the rules of Prophesee's own OpenEB, because no library does it for all three: expelliarmus
adds 4,096 microseconds too many to EVT 3.0 whenever the lower bits of the time start again (deviation D-37), and does
not know EVT 2.1; evlib takes both orders of EVT 2.1 for the same. The tests compare with expelliarmus (EVT 2.0), evlib
and evt3.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import DataError
from ...jit import compiled
from ..notes import remark
from ..types import EVENT_DTYPE
from .check import AGAIN, MAX_EVENTS

ON, TIME_HIGH = 1, 8
HIGH = 2**28
"""The upper time of EVT 2.0 and 2.1 is below."""
LOW_HALF = np.uint64(2**32 - 1)
KNOWN_2 = sum(1 << kind for kind in (0, 1, 8, 10, 13, 14, 15))
KNOWN_3 = 0xFFFF - sum(1 << kind for kind in (9, 11, 12, 13))
"""Bits of the types that words may have; beside events and times these are triggers and the camera's measurements."""
PIXELS = 2048
"""The most rows and columns that a camera can have."""
STRAYS = 100
"""At most one event in so many may lie beyond the pixels of the camera."""


def _room_2(words: np.ndarray) -> int:
    """How many events the words have at most."""
    return words.size


@compiled
def _decode_2(words, events, width, height):  # type: ignore[no-untyped-def]
    """Fill in the events of EVT 2.0; return how many there are within the size, and how many beyond.

    The first is -1 where a word is of an unknown type.
    Type (4 bits), lower time (6), x (11), y (11); or type and upper time (28). Nothing counts before the first upper
    time. It starts again every 4.8 hours.
    """
    count, beyond, high = 0, 0, np.int64(-1)
    for word in words:
        kind = word >> 28
        if kind == TIME_HIGH:
            high = _upper(high, np.int64(word & HIGH - 1))
        elif kind <= ON and high >= 0:
            x, y = word >> 11 & 2047, word & 2047
            if x < width and y < height:
                event = events[count]
                event.t, event.x, event.y, event.p = high << 6 | np.int64(word >> 22 & 63), x, y, kind == ON
                count += 1
            else:
                beyond += 1
        elif not KNOWN_2 >> kind & 1:
            return -1, 0
    return count, beyond


@compiled
def _upper(high, new):  # type: ignore[no-untyped-def]
    """The upper time behind `high`, and what was lost where its 28 bits started again, up to 10 milliseconds early."""
    new += 0 if high < 0 else high & -HIGH
    return new + HIGH if high - new >= HIGH - 157 else new


@compiled
def _room_21(words):  # type: ignore[no-untyped-def]
    """As `_room_2`."""
    room = 0
    for word in words:
        valid = np.uint64(0) if word >> np.uint64(60) > ON else word & LOW_HALF
        while valid:
            valid &= valid - np.uint64(1)
            room += 1
    return room


@compiled
def _decode_21(words, events, width, height):  # type: ignore[no-untyped-def]
    """As `_decode_2`: a word is one of EVT 2.0, above 32 bits that say which pixels from x on have changed."""
    count, beyond, high = 0, 0, np.int64(-1)
    for word in words:
        upper, valid = np.int64(word >> np.uint64(32)), np.int64(word & LOW_HALF)
        kind = upper >> 28
        if kind == TIME_HIGH:
            high = _upper(high, upper & HIGH - 1)
        elif kind <= ON and high >= 0:
            x, y = upper >> 11 & 2047, upper & 2047
            while valid:
                if valid & 1 and x < width and y < height:
                    event = events[count]
                    event.t, event.x, event.y, event.p = high << 6 | upper >> 22 & 63, x, y, kind == ON
                    count += 1
                elif valid & 1:
                    beyond += 1
                x, valid = x + 1, valid >> 1
        elif not KNOWN_2 >> kind & 1:
            return -1, 0
    return count, beyond


def _room_3(words: np.ndarray) -> int:
    """As `_room_2`."""
    return int(_total(words, _rooms_3()))


@cache
def _rooms_3() -> np.ndarray:
    """How many events each word of EVT 3.0 has: one, or as many as it has bits set for pixels."""
    kinds, values = np.divmod(np.arange(2**16), 2**12)
    pixels = np.select([kinds == 2, kinds == 4, kinds == 5], [1, 12, 8])
    bits = sum(values >> bit & (bit < pixels) for bit in range(12))
    return np.where(kinds == 2, 1, bits).astype(np.uint8)


@compiled
def _total(words, rooms):  # type: ignore[no-untyped-def]
    """The sum of what `rooms` has for the words."""
    room = 0
    for word in words:
        room += rooms[word]
    return room


@compiled
def _decode_3(words, events, width, height):  # type: ignore[no-untyped-def]
    """As `_decode_2` for EVT 3.0: words of 16 bits that change a state of time (12 and 12 bits), y, x and polarity.

    Types: 0 y, 1 y of a measurement of exposure (what follows is no change), 2 an event at x, 3 the x from which 4 (12
    pixels) and 5 (8) go on, 6 lower and 8 upper time. The upper time starts again every 17 seconds.
    """
    count, beyond, high, low, y, x = 0, 0, np.int64(-1), np.int64(0), np.int64(0), np.int64(0)
    on = change = False
    for word in words:
        kind, value = word >> 12, np.int64(word & 4095)
        if kind == 2:
            if change and high >= 0:
                if value & 2047 < width and y < height:
                    event = events[count]
                    event.t, event.x, event.y, event.p = high << 12 | low, value & 2047, y, value > 2047
                    count += 1
                else:
                    beyond += 1
        elif kind <= 1:
            y, change = value & 2047, kind == 0
        elif kind == 3:
            x, on = value & 2047, value > 2047
        elif kind == 4 or kind == 5:
            valid, here = value if kind == 4 else value & 255, x
            while valid and change and high >= 0:
                if valid & 1 and here < width and y < height:
                    event = events[count]
                    event.t, event.x, event.y, event.p = high << 12 | low, here, y, on
                    count += 1
                elif valid & 1:
                    beyond += 1
                here, valid = here + 1, valid >> 1
            x += 12 if kind == 4 else 8
        elif kind == 6:
            low = value
        elif kind == 8:
            new = (0 if high < 0 else high & -4096) | value
            new += 4096 if high - new >= 2048 else 0
            low, high = low if new == high else 0, new
        elif not KNOWN_3 >> kind & 1:
            return -1, 0
    return count, beyond


class Encoding(NamedTuple):
    """How words are stored, counted and decoded."""

    word: str
    room: Callable[..., int]
    decode: Callable[..., tuple[int, int]]


ENCODINGS = {
    "EVT2": Encoding("<u4", _room_2, _decode_2),
    "EVT21": Encoding("<u8", _room_21, _decode_21),
    "EVT3": Encoding("<u2", _room_3, _decode_3),
}
"""Name in a header -> encoding."""


def decode(
    content: bytes | memoryview,
    encoding: str,
    path: str | Path,
    size: tuple[int, int] | None,
    order: str | None = None,
) -> np.ndarray:
    """Decode the changes of pixels in words of a camera.

    Cameras send a few events from beyond their pixels. Prophesee's own software leaves them out, and so does this
    function, with a remark.

    Args:
        content: the words, little-endian.
        encoding: one of the `ENCODINGS`.
        path: the file, for the message.
        size: width and height of the camera in pixels, if they are known.
        order: `little` for words of EVT 2.1 whose lower half comes first, `legacy` for those of older cameras, whose
            upper half does; else the one that the words themselves show.

    Returns:
        Events `[N]` of `EVENT_DTYPE`, for `check_events` to check.

    Raises:
        DataError: if words are of unknown types, of unknown order or cut off, there are too many events, or more than
            one in a hundred lies beyond the pixels of the camera.
    """
    kind, room_for, kernel = ENCODINGS[encoding]
    if len(content) % np.dtype(kind).itemsize:
        raise DataError(f"{path} is truncated: it ends inside a word of {encoding}; {AGAIN}")
    words = np.frombuffer(content, dtype=kind)
    if encoding == "EVT21":
        words = _in_order(words, path, order)
    room = room_for(words)
    if room > MAX_EVENTS:
        raise DataError(f"{path} holds more than {MAX_EVENTS} events: cut it into shorter recordings")
    events = np.empty(room, dtype=EVENT_DTYPE)
    count, beyond = kernel(words, events, *(size or (PIXELS, PIXELS)))
    if count < 0:
        raise DataError(f"{path} has words that {encoding} does not have: it is corrupt or encoded otherwise; {AGAIN}")
    if beyond:
        _tell_of_strays(beyond, count + beyond, path)
    return events[:count]


def _tell_of_strays(beyond: int, total: int, path: str | Path) -> None:
    """A remark on the events beyond the pixels of the camera; a DataError if there are too many."""
    if beyond * STRAYS > total:
        raise DataError(
            f"{path} has {beyond} of {total} events beyond the pixels of its camera: it is corrupt, or its header or"
            f" message names the size of another one; {AGAIN}"
        )
    remark(
        "events beyond the pixels of the camera are left out of",
        f"{beyond} of {total} events",
        "Prophesee's software leaves them out, too",
        beyond / total,
    )


def _in_order(words: np.ndarray, path: str | Path, order: str | None) -> np.ndarray:
    """Words of EVT 2.1 with the type in the upper half, whichever half comes first in the file."""
    turned = words >> np.uint64(32) | words << np.uint64(32)
    if order not in ("little", "legacy"):
        likely = [_likely(words, 60), _likely(turned, 60)]
        if sum(likely) != 1:
            raise DataError(
                f"{path} does not say which half of its words comes first: add the line % endianness little (the lower,"
                " as newer cameras do) or % endianness legacy (the upper) to its header"
            )
        order = "little" if likely[0] else "legacy"
    return words if order == "little" else turned


def is_evt2(content: bytes) -> bool:
    """Whether bytes without a header are words of EVT 2.0: all of its types, and upper times that never go back."""
    return len(content) % 4 == 0 and len(content) >= 64 and _likely(np.frombuffer(content, "<u4"), 28)


def _likely(words: np.ndarray, shift: int) -> bool:
    """Whether all words of EVT 2 are of known types, which start at bit `shift`, and upper times never go back."""
    kinds = words >> words.dtype.type(shift)
    times = words[kinds == TIME_HIGH]
    return bool(times.size and (times[1:] >= times[:-1]).all() and (KNOWN_2 >> np.unique(kinds).astype(int) & 1).all())
