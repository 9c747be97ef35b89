"""Which columns of a file are t, x, y and p, and which of its groups has the events.

Plain Python, so that the process that reads HDF5 can run it, too. What is not certain is a `ValueError` whose message
follows the name of the file in a sentence.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

ROOT = "/"
"""The name of the top level of a file, beside those of its groups."""

NAMES = {
    "t": ("t", "ts", "time", "timestamp", "timestamps", "times", "time_stamp", "time_stamps", "event_time"),
    "x": (
        "x",
        "xs",
        "x_coordinate",
        "x_coordinates",
        "x_pos",
        "xpos",
        "x_addr",
        "addr_x",
        "addrx",
        "xaddr",
        "col",
        "column",
    ),
    "y": ("y", "ys", "y_coordinate", "y_coordinates", "y_pos", "ypos", "y_addr", "addr_y", "addry", "yaddr", "row"),
    "p": ("p", "pol", "polarity", "on", "ps", "pols", "polarities", "is_increase"),
}
"""What each column may be called; the unit may follow the name of the time, as in `t_us` and `time [s]`."""

UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("us", "usec", "usecs", "microsecond", "microseconds", "\u00b5s", "\u03bcs"), "us"),
    **dict.fromkeys(("ns", "nsec", "nsecs", "nanosecond", "nanoseconds"), "ns"),
}
"""What the unit in the name of a time may be called -> the unit, as in `reading.TIME_UNITS`."""

EVENTS = ("events", "event", "td", "cd", "dvs")
"""Groups and arrays of these names have events: TD and CD are an ATIS's or Prophesee camera's changes."""

SMALL = 64
"""Fewer numbers than so are seldom events."""

EXPOSURES = ("em", "exposure", "exposures")
"""Groups of these names have an ATIS's exposure measurements, which look like events."""


def choose(labels: Iterable[str], columns: Mapping[str, str | int] | None = None) -> dict[str, str] | None:
    """The labels of the columns t, x, y and p by their letter, or None where one of them is missing.

    The first of a column's `NAMES` that is there in lower case counts, whatever else is there in capitals: `t` beside
    `T`. Without one, the first that is there in any case counts.

    Args:
        labels: of one group.
        columns: letter -> label that a user names (`Reading.columns`); it counts before all others.

    Raises:
        ValueError: listing the labels if the choice is not certain: one label twice, two that differ in case alone
            where neither is in lower case, or `x` beside `X` where there is only one `y`; or if `columns` has numbers.

    Example:
        >>> choose(["T", "X", "y", "timestamps", "pol"])
        {'t': 'timestamps', 'x': 'X', 'y': 'y', 'p': 'pol'}
        >>> choose(["stamp", "x", "y", "p"], {"t": "stamp"})
        {'t': 'stamp', 'x': 'x', 'y': 'y', 'p': 'p'}
    """
    labels, columns = list(labels), columns or {}
    if not all(isinstance(label, str) for label in columns.values()):
        raise ValueError(f"has names of columns, {_listed(labels)}: give names in data.columns, not numbers")
    free = [label for label in labels if label not in columns.values()]
    found = {
        letter: [label for label in labels if label == columns[letter]] if letter in columns else _named(free, names)
        for letter, names in NAMES.items()
    }
    if not all(found.values()):
        return None
    spelled = {letter: [label for label in free if label.lower() == letter] for letter in "xy"}
    rivals = [labels for labels in found.values() if len(labels) > 1]
    if not rivals and not columns.keys() & {"x", "y"} and len(spelled["x"]) != len(spelled["y"]):
        rivals = [spelled["x"] + spelled["y"]]
    if rivals:
        raise ValueError(
            f"has columns {', '.join(rivals[0])}, so it is not certain which are meant: keep one of each, or name it in"
            " data.columns"
        )
    return {letter: labels[0] for letter, labels in found.items()}


def has_all(labels: Iterable[str], columns: Mapping[str, str | int] | None = None) -> bool:
    """Whether there are columns t, x, y and p, though it may not be certain which; arguments as those of `choose`."""
    try:
        return bool(choose(labels, columns))
    except ValueError:
        return True


def is_matrix(path: str, array: Any, columns: Mapping[str, str | int] | None = None) -> bool:
    """Whether an array, or a data set of HDF5, may be a matrix of events: of four columns, or of more named by number.

    A small one, such as a calibration `[4, 4]`, is none, unless its name says so.

    Args:
        path: its name, behind those of its groups.
        array: anything with `shape`, `size` and `dtype`.
        columns: as for `choose`; the numbers of four columns allow more than four.
    """
    shape: tuple[int, ...] = array.shape or ()
    if len(shape) != 2 or min(shape) < 2 or array.dtype.kind not in "biuf":
        return False
    if array.size < SMALL and path.split("/")[-1].lower() not in EVENTS:
        return False
    numbers = [number for number in (columns or {}).values() if isinstance(number, int)]
    return 4 in shape or (len(numbers) == 4 and shape[1] > max(numbers))


def choose_group(
    groups: Mapping[str, Iterable[str]], group: str | None = None, columns: Mapping[str, str | int] | None = None
) -> tuple[str, dict[str, str]]:
    """The group that has the events, and the labels of its columns.

    Args:
        groups: name of a group, `ROOT` for the top level -> labels of the columns in it.
        group: the one that a user names (`Reading.group`).
        columns: as for `choose`.

    Raises:
        ValueError: if none has all four columns, or it is not certain which is meant.

    Example:
        >>> choose_group({"EM": ["t", "x", "y", "p"], "TD": ["ts", "x", "y", "p"]})
        ('TD', {'t': 'ts', 'x': 'x', 'y': 'y', 'p': 'p'})
    """
    if group is not None:
        group = one_of(groups, group)
        groups = {group: groups[group]}
    named = {letter: label for letter, label in (columns or {}).items() if isinstance(label, str)}
    found = [name for name, labels in groups.items() if has_all(labels, named)]
    if not found:
        raise ValueError(missing([label for labels in groups.values() for label in labels], columns))
    name = one_of(found, group)
    return name, choose(groups[name], columns) or {}


def one_of(candidates: Iterable[str], group: str | None = None) -> str:
    """The one of several groups or arrays that has the events, by its name (`EVENTS`, `EXPOSURES`).

    Args:
        candidates: their names, paths with slashes where one lies in another; at least one.
        group: the name or path that a user gives (`Reading.group`).

    Raises:
        ValueError: listing them, if it is not certain which is meant, there is no `group`, or there are exposures only.
    """
    candidates = list(candidates)
    if group is not None:
        wanted = group.strip("/").lower()
        for same in (lambda name: name.strip("/").lower(), lambda name: name.lower().split("/")[-1]):
            if len(found := [name for name in candidates if same(name) == wanted]) == 1:
                return found[0]
        raise ValueError(f"has no '{group}': set data.group to one of {_listed(candidates)}")
    kept = [name for name in candidates if not set(name.lower().split("/")) & set(EXPOSURES)]
    if not kept:
        raise ValueError(
            f"has only {_listed(candidates)}, an ATIS's exposure measurements, no events of change: look for its TD"
        )
    meant = [name for name in kept if name == ROOT or set(name.lower().split("/")) & set(EVENTS)]
    for names in (kept, meant):
        if len(names) == 1:
            return names[0]
    raise ValueError(f"may have its events in any of {_listed(kept)}: choose one with data.group")


def missing(labels: Iterable[str], columns: Mapping[str, str | int] | None = None) -> str:
    """What to say of a file that lacks columns: the names that there are, and how to name the missing ones.

    Example:
        >>> missing(["when", "x", "y", "p"])
        'has columns when, x, y, p, but no t (or ts, time, timestamp ..): name it, as in data.columns: {t: when}'
    """
    labels, columns = list(dict.fromkeys(labels)), columns or {}
    if not labels:
        return "has columns without names, not t, x, y and p: store four columns of these names"
    if wrong := [f"{name}" for name in columns.values() if name not in labels]:
        near = difflib.get_close_matches(wrong[0], labels, 1)
        guess = f" (is it {near[0]}?)" if near else ""
        return f"has columns {_listed(labels)}, no '{wrong[0]}'{guess}: correct data.columns"
    free = [label for label in labels if label not in columns.values()]
    found = {letter: columns.get(letter) or _named(free, names) for letter, names in NAMES.items()}
    lost = [letter for letter in NAMES if not found[letter]]
    if len(lost) == len(NAMES):
        return (
            f"has columns {_listed(labels)}, none of which is called t, x, y or p: name them, as in"
            " data.columns: {t: NAME, x: NAME, y: NAME, p: NAME}"
        )
    free = [label for label in free if [label] not in found.values()]
    if not lost:
        return f"has columns {_listed(labels)}, but no four of them in one place"
    nearest = {letter: difflib.get_close_matches(letter, free, 1, 0) or ["NAME"] for letter in lost}
    told = ", ".join(f"{letter}: {near[0] if len(lost) == 1 else 'NAME'}" for letter, near in nearest.items())
    known = f" (or {', '.join(NAMES[lost[0]][1:4])} ..)" if len(lost) == 1 else ""
    return f"has columns {_listed(labels)}, but no {', '.join(lost)}{known}: name it, as in data.columns: {{{told}}}"


def unit_of(label: str) -> str | None:
    """The unit in the name of a column, as in `t_us` or `time [s]`; None without one.

    Example:
        >>> [unit_of(label) for label in ("t_us", "Timestamp [s]", "time(ns)", "ts", "t")]
        ['us', 's', 'ns', None, None]
    """
    return _split(label)[1]


def _split(label: str) -> tuple[str, str | None]:
    """The name in a label, in its case, and the unit behind it."""
    bare = label.rstrip("])")
    word = re.split(r"[ _.\-\[(]", bare)[-1]
    name, unit = bare.removesuffix(word).rstrip(" _.-[("), UNITS.get(word.lower())
    return (name, unit) if name and unit else (label, None)


def _named(labels: Sequence[str], names: Sequence[str]) -> list[str]:
    """The labels that go by the first of the names that is there: in lower case, else in any case, or with a unit."""
    spellings: list[Callable[[str], str]] = [str, str.lower]
    if names is NAMES["t"]:
        spellings.append(lambda label: _split(label)[0].lower())
    for spelled in spellings:
        for name in names:
            if found := [label for label in labels if spelled(label) == name]:
                return found
    return []


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)[:200]
