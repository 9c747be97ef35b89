"""What all pictures share: a registry, one way to write a picture and the numbers behind it."""

from __future__ import annotations

import csv
import functools
import io
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context, rcParams
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from ..files import write_whole
from ..registry import Registry

FIGURES = Registry("figure")
"""Name -> function `(runs: list[LoadedRun], out: Path, **settings) -> list[Path]`; it writes `<name>.png` and
`<name>.csv` into the folder `out` and returns what it wrote."""

WIDE_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei", "Microsoft YaHei", "SimHei"),
    *("PingFang SC", "Hiragino Sans", "Arial Unicode MS", "Noto Sans", "Segoe UI Symbol"),
)
"""Fonts with characters that matplotlib's own lacks; those that are installed are taken where it does."""

OF_RECORDS: set[str] = set()
"""Names of the figures that take records (as `records.read_finished` gives them) in place of loaded runs: they need
neither data nor checkpoints, and may show runs of several data sets."""


def figure_of_runs(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a figure; names of classes and recipes are drawn as they are, whatever characters they have."""

    def enter(draw: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(draw)
        def drawn(*arguments: Any, **settings: Any) -> Any:
            installed = {font.name for font in fontManager.ttflist}
            fonts = [*rcParams["font.family"], *(font for font in WIDE_FONTS if font in installed)]
            with rc_context({"text.parse_math": False, "font.family": fonts}):
                return draw(*arguments, **settings)

        return FIGURES.register(name)(drawn)

    return enter


def figure_of_records(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a figure `(records: list[dict], out: Path, **settings) -> list[Path]` that needs records only."""
    OF_RECORDS.add(name)
    return figure_of_runs(name)


def save_picture(figure: Figure, path: Path) -> Path:
    """Write a picture as PNG, whole or not at all; say so if no font has some of its characters.

    Raises:
        TrainingError: if the disk is full.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        figure.savefig(buffer, format="png", dpi=150, bbox_inches="tight")
    for other in said:
        if "missing from font" not in str(other.message):
            warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
    if any("missing from font" in str(other.message) for other in said):
        print(f"{path} has boxes for characters that no installed font has: install Noto Sans CJK", file=sys.stderr)
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
