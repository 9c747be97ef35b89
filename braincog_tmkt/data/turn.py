"""Recordings turned upright."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import RecipeError

TURNS = ("transpose", "flip_x", "flip_y")


def check_turn(turn: Sequence[str]) -> None:
    """Raise a RecipeError for what is no list of words in `TURNS`."""
    if isinstance(turn, str) or not isinstance(turn, Sequence):
        raise RecipeError(f"data.turn is {turn!r}, but must be a list of {', '.join(TURNS)}, as [{TURNS[0]}]")
    for word in turn:
        if word not in TURNS:
            raise RecipeError(f"data.turn has '{word}', but must be a list of {', '.join(TURNS)}")


def turned(events: np.ndarray, turn: Sequence[str], size: tuple[int, int]) -> np.ndarray:
    """Turn events `[N]` of `EVENT_DTYPE` on a sensor of `size` (width, height), one step after the other.

    `transpose` swaps columns and rows, `flip_x` mirrors left and right, `flip_y` top and bottom. A quarter turn
    clockwise is `[transpose, flip_x]`, counterclockwise `[transpose, flip_y]`.

    Example:
        >>> from braincog_tmkt.data.types import EVENT_DTYPE
        >>> event = np.array([(0, 5, 1, True)], dtype=EVENT_DTYPE)
        >>> turned(event, ["transpose", "flip_x"], (8, 4))[0].tolist()
        (0, 2, 5, True)
    """
    width, height = size
    events = events.copy()
    for word in turn:
        if word == "transpose":
            events["x"], events["y"] = events["y"].copy(), events["x"].copy()
            width, height = height, width
        elif word == "flip_x":
            events["x"] = width - 1 - events["x"]
        else:
            events["y"] = height - 1 - events["y"]
    return events
