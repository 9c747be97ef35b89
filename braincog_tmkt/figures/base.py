"""What all pictures share: a registry, one way to write a picture and the numbers behind it."""

from __future__ import annotations

import functools
import inspect
import io
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from matplotlib import rc_context, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from ..files import write_whole
from ..registry import Registry
from ..results.grids import as_csv
from .records import require_records

FIGURES = Registry("figure", __package__, ["figure_of_runs", "figure_of_records"])
"""Name -> function `(runs: list[LoadedRun], out: Path, **settings) -> list[Path]`, see `figure_of_runs`."""

WIDE_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei", "Microsoft YaHei", "SimHei"),
    *("PingFang SC", "Hiragino Sans", "Arial Unicode MS", "Noto Sans", "Segoe UI Symbol"),
)
"""Fonts with characters that matplotlib's own lacks; those that are installed are taken where it does."""

MOST_WARNINGS = 4


def figure_of_runs(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a figure of finished runs: a function `(runs, **settings) -> (figure, rows)`, where rows are its numbers.

    Called as `(runs, out, **settings)` it writes `<name>.png` and `<name>.csv` into the folder `out` and returns their
    paths. A function that writes more takes `out`, too, and returns further paths after the rows. Names of classes and
    recipes are drawn as they are, whatever characters they have.

    Calls raise:
        RecipeError: see `inputs.require_same_test`; and for a setting out of range.
        TrainingError: if a file cannot be written.
    """

    def check(runs: Any) -> None:
        from .inputs import require_same_test  # here, since it loads torch

        require_same_test(runs)

    return lambda draw: _enter(name, draw, check)


def figure_of_records(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`figure_of_runs` for a figure `(records, **settings) -> (figure, rows)` that needs records only.

    Records are as `store.read_records` gives them: neither data nor checkpoints are read, and the runs may be of
    several data sets.
    """
    return lambda draw: _enter(name, draw, require_records, of_records=True)


def _enter(
    name: str, draw: Callable[..., Any], check: Callable[[Any], None], of_records: bool = False
) -> Callable[..., Any]:
    signature = inspect.signature(draw)
    first, *rest = signature.parameters.values()
    keeps = "out" in signature.parameters

    @functools.wraps(draw)
    def drawn(runs: Any, out: Path, **settings: Any) -> list[Path]:
        check(runs)
        installed = {font.name for font in fontManager.ttflist}
        fonts = [*rcParams["font.family"], *(font for font in WIDE_FONTS if font in installed)]
        with rc_context({"text.parse_math": False, "font.family": fonts}):
            figure, rows, *more = draw(runs, out, **settings) if keeps else draw(runs, **settings)
            return [save_picture(figure, out / f"{name}.png"), save_rows(rows, out / f"{name}.csv"), *more]

    place = inspect.Parameter("out", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Path)
    drawn.__signature__ = signature if keeps else signature.replace(parameters=[first, place, *rest])  # type: ignore[attr-defined]
    drawn.of_records = of_records  # type: ignore[attr-defined]
    return FIGURES.register(name)(drawn)


def tidy(axes: Axes) -> None:
    """A light grid, without the frame's upper and right side."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3, linewidth=0.6)


def brief(name: str, letters: int) -> str:
    """A name that fits: its beginning and its end, which often tell names apart.

    Example:
        >>> brief("helicopter", 12), brief("a class with a long name 7", 12)
        ('helicopter', 'a clas…ame 7')
    """
    if len(name) <= letters:
        return name
    return f"{name[: letters // 2]}\N{HORIZONTAL ELLIPSIS}{name[len(name) - (letters - letters // 2 - 1) :]}"


def entitle(figure: Figure, words: str, warnings: Sequence[str] = (), size: float = 11) -> None:
    """Put a title over a picture, and warnings below it, in lines that are not wider than the picture."""
    letters = int(figure.get_figwidth() * 72 / (0.56 * size))
    more = [f"and {len(warnings) - MOST_WARNINGS} more warnings"] if len(warnings) > MOST_WARNINGS else []
    lines = [*words.split("\n"), *warnings[:MOST_WARNINGS], *more]
    figure.suptitle("\n".join(fill(line, letters) for line in lines), fontsize=size)


def widen(axes: Axes, least: float, low: float | None = None, high: float | None = None) -> None:
    """Give a y axis at least this range, so that what hardly changes looks like that.

    Args:
        axes: with everything drawn.
        least: range in the unit of the axis.
        low: no value is below; None for no limit.
        high: no value is above.
    """
    bottom, top = axes.get_ylim()
    lack, margin = max(0.0, least - (top - bottom)), 0.05 * least
    bottom, top = bottom - lack / 2, top + lack / 2
    if low is not None and bottom < low - margin:
        bottom, top = low - margin, max(top, low + least)
    if high is not None and top > high + margin:
        bottom, top = min(bottom, high - least), high + margin
    axes.set_ylim(bottom, top)


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
    write_whole(path, buffer)
    return path


def save_rows(rows: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Write rows as CSV, whole or not at all; the keys of the first are the columns.

    Raises:
        TrainingError: if the disk is full.
    """
    write_whole(path, as_csv(rows).encode())
    return path
