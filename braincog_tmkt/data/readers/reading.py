"""What a user says about recordings of their own that the files themselves do not say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import RecipeError

LETTERS = ("t", "x", "y", "p")
"""The columns of events: time, pixel column and row, polarity."""

TIME_UNITS = {"s": 10**6, "ms": 10**3, "us": 1, "ns": 10**-3}
"""Unit of time -> microseconds in one."""

CAMERAS = ("dvs128", "davis240", "davis346")
"""Cameras whose addresses AER-DAT 2.0 stores."""


@dataclass(frozen=True)
class Reading:
    """How to read recordings, where their format leaves it open; a None is what the file says or what is certain.

    Args:
        columns: letter of a column (`t`, `x`, `y`, `p`) -> its name, or its number from 0 on in files without names.
            Letters that are left out are found as usual.
        time_unit: unit of the times, one of `TIME_UNITS`.
        group: which structure, group, array or topic of the file has the events.
        camera: which camera wrote an AER-DAT 2.0 file whose header does not name it, one of `CAMERAS`.

    Raises:
        RecipeError: naming the key, for a letter, unit or camera that there is not, or a value of another type.

    Example:
        >>> Reading(columns={"t": "stamp"}, time_unit="ms").time_unit
        'ms'
    """

    columns: Mapping[str, str | int] | None = None
    time_unit: str | None = None
    group: str | None = None
    camera: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.columns, Mapping | None):
            raise RecipeError(f"data.columns is {self.columns!r}, but must be as {{t: 0, x: 1, y: 2, p: 3}}")
        if not isinstance(self.group, str | None):
            raise RecipeError(f"data.group is {self.group!r}, but must be a text: put it in quotes")
        for letter, name in (self.columns or {}).items():
            if letter not in LETTERS or isinstance(name, bool) or not isinstance(name, str | int):
                raise RecipeError(
                    f"data.columns has '{letter}: {name}', but must map the letters {', '.join(LETTERS)} to names of"
                    " columns, or to their numbers from 0 on"
                )
        for key, value, known in (("time_unit", self.time_unit, TIME_UNITS), ("camera", self.camera, CAMERAS)):
            if value is not None and value not in tuple(known):
                raise RecipeError(f"data.{key} is '{value}', but must be one of {', '.join(known)}")


AS_STORED = Reading()
"""Nothing is said: what a file leaves open must be certain."""

MICROSECONDS = Reading(time_unit="us")
"""For data sets whose times are known to be microseconds."""
