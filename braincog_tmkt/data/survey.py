"""What lies in a user's own recordings, by format: a table that shows at a glance what was read wrongly."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations

from ..errors import DataError
from ..progress import progress
from ..terminal import table
from .notes import Remark, in_words, listening
from .readers import READERS
from .sets import DataSet
from .types import Index, Item

MOST_ERRORS = 5
"""Sentences on files that cannot be read, before the rest is counted."""

COLUMNS = ("format", "files", "read", "events", "width", "height", "seconds", "ON")
"""Of the table; those from `events` on are of the recordings that could be read."""

FAR = 100
"""Recordings of two formats are compared: if one lasts so many times longer, a unit of time may be wrong."""


@dataclass(frozen=True)
class Look:
    """What one recording has.

    Args:
        events: their number.
        width: its greatest x, plus 1.
        height: its greatest y, plus 1.
        seconds: from the first to the last event.
        on: share of ON events.
    """

    events: int
    width: int
    height: int
    seconds: float
    on: float


def print_survey(dataset: DataSet, index: Index, most: int | None) -> bool:
    """Read recordings of every format and print what they have: one row a format.

    Args:
        dataset: reads them.
        index: its recordings.
        most: recordings to read of each format, evenly spread over the list; None reads all.

    Returns:
        Whether all of them could be read.
    """
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in index.recordings:
        groups[_format_of(item)].append(item)
    chosen = [(form, item) for form, items in groups.items() for item in _spread(items, most)]
    looks: dict[str, list[Look]] = defaultdict(list)
    remarks: list[tuple[str, Remark]] = []
    errors: list[str] = []
    for form, item in progress(chosen, "recordings", "recording"):
        try:
            with listening() as heard:
                looks[form].append(look_at(dataset, item))
            remarks += [(item.key, said) for said in heard]
        except DataError as error:
            errors.append(str(error))
    rows = [_row(form, items, looks[form]) for form, items in groups.items()]
    print(table([{name: row.get(name, "") for name in COLUMNS} for row in rows]))
    for sentence in (*in_words(remarks, len(chosen), "recordings"), *_oddities(looks)):
        print(f"note: {sentence}")
    print(*errors[:MOST_ERRORS], sep="\n", end="\n" if errors else "")
    if len(errors) > MOST_ERRORS:
        print(f"and {len(errors) - MOST_ERRORS} more of {len(chosen)} recordings cannot be read")
    return not errors


def look_at(dataset: DataSet, item: Item) -> Look:
    """Read one recording and measure it; raises as `DataSet.events` does."""
    events = dataset.events(item)
    sides = int(events["x"].max()) + 1, int(events["y"].max()) + 1
    return Look(len(events), *sides, float(events["t"][-1] - events["t"][0]) / 1e6, float(events["p"].mean()))


def _format_of(item: Item) -> str:
    suffix = item.path.suffix.lower() if item.path else ""
    return _title(suffix) if suffix in READERS else suffix or "no file"


def _title(suffix: str) -> str:
    return f"{READERS[suffix].title} ({suffix})"


def _spread(items: Sequence[Item], most: int | None) -> list[Item]:
    """At most so many items, the first and the last among them."""
    if most is None or len(items) <= most:
        return list(items)
    return [items[round(number * (len(items) - 1) / max(most - 1, 1))] for number in range(most)]


def _row(form: str, items: Sequence[Item], looks: Sequence[Look]) -> dict[str, str]:
    row = {"format": form, "files": f"{len(items)}", "read": f"{len(looks)}"}
    if looks:
        row |= {
            "events": _range([look.events for look in looks], "{:,.0f}"),
            "width": f"{max(look.width for look in looks)}",
            "height": f"{max(look.height for look in looks)}",
            "seconds": _range([look.seconds for look in looks], "{:.3g}"),
            "ON": f"{statistics.mean(look.on for look in looks):.0%}",
        }
    return row


def _range(values: Sequence[float], form: str) -> str:
    """The median, and the range if there is one."""
    least, middle, most = (form.format(pick(values)) for pick in (min, statistics.median, max))
    return middle if least == most else f"{middle} ({least} to {most})"


def _oddities(looks: dict[str, list[Look]]) -> Iterable[str]:
    """What a user should look at, a sentence each."""
    lasting = {form: statistics.median(look.seconds for look in some) for form, some in looks.items() if some}
    open_units = {_title(suffix) for suffix, form in READERS.items() if "time_unit" in form.takes}
    for short, long in sorted(permutations(lasting, 2), key=lambda pair: lasting[pair[0]] - lasting[pair[1]]):
        if lasting[long] > FAR * lasting[short] and {short, long} & open_units:
            yield (
                f"recordings last {lasting[short]:.3g} s as {short} and {lasting[long]:.3g} s as {long}: is the unit of"
                " time right in both? data.time_unit says it"
            )
            break
    for form, some in looks.items():
        if some and all(look.on in (0, 1) for look in some):
            yield f"all events of the recordings as {form} have one polarity: is the right column taken for it?"
