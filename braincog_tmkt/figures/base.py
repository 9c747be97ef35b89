"""What all pictures share: a registry, one way to write a picture and the numbers behind it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ..files import write_whole
from ..registry import Registry

FIGURES = Registry("figure")
"""Name -> function `(runs: list[LoadedRun], out: Path, **settings) -> list[Path]`; it writes `<name>.png` and
`<name>.csv` into the folder `out` and returns what it wrote."""

OF_RECORDS: set[str] = set()
"""Names of the figures that take records (as `records.read_finished` gives them) in place of loaded runs: they need
neither data nor checkpoints, and may show runs of several data sets."""


def figure_of_records(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a figure `(records: list[dict], out: Path, **settings) -> list[Path]` that needs records only."""
    OF_RECORDS.add(name)
    return FIGURES.register(name)


def save_picture(figure: Figure, path: Path) -> Path:
    """Write a picture as PNG, whole or not at all.

    Raises:
        TrainingError: if the disk is full.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, bbox_inches="tight")
    write_whole(path, buffer.getbuffer())
    return path


def save_rows(rows: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Write rows as CSV, whole or not at all; the keys of the first are the columns.

    Raises:
        TrainingError: if the disk is full.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue().encode())
    return path
