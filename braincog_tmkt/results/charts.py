"""Charts of the page as inline SVG: their text stays text, and their colours are those of the page around them."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any
from xml.etree import ElementTree

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

INK, QUIET = "#000001", "#000002"
SERIES = {
    "baseline": "#000010",
    "tet": "#000010",
    "knowledge_transfer": "#000011",
    "kt": "#000011",
    "tsm": "#000012",
    "tmkt": "#000013",
    "hsd": "#000015",
}
OTHER = "#000014"
"""Stand-ins that matplotlib draws with; `to_svg` puts colours of the page in their place. A recipe's colour goes by the
beginning of its name; nothing is told apart by colour alone."""

PAGE_COLOURS = {
    INK: "currentColor",
    QUIET: "var(--quiet, #777)",
    "#000010": "var(--baseline, #333)",
    "#000011": "var(--transfer, #1b7fbd)",
    "#000012": "var(--mixing, #b8620a)",
    "#000013": "var(--tmkt, #b2182b)",
    "#000015": "var(--hsd, #762a83)",
    OTHER: "var(--other, #5f6b2d)",
}
LONG = 42
"""Longer labels of a dot chart take two lines."""
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "grid.color": QUIET,
    "grid.linewidth": 0.5,
    "grid.alpha": 0.35,
    "xtick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.color": QUIET,
    "ytick.labelcolor": INK,
}


@dataclass(frozen=True)
class Dots:
    """One row of a dot chart, in percent.

    Args:
        label: what stands above the row.
        recipe: chooses the colour.
        values: one a seed.
        paper: the paper's value where it is comparable.
    """

    label: str
    recipe: str
    values: tuple[float, ...]
    paper: float | None = None


def colour_of(recipe: str) -> str:
    """The stand-in for a recipe's colour.

    Example:
        >>> colour_of("nmnist/kt_no_hsv") == colour_of("cepdvs/knowledge_transfer")
        True
    """
    name = recipe.split("/")[-1]
    return next((colour for start, colour in SERIES.items() if re.match(rf"{start}(_|$)", name)), OTHER)


def dot_chart(rows: Sequence[Dots]) -> Figure:
    """Accuracies, one row a method: every seed a dot, the mean a bar with its value, the paper's value hollow."""
    with rc_context(STYLE):
        height = 0.6 if any(len(row.label) > LONG for row in rows) else 0.45
        figure = Figure(figsize=(3.7, 0.55 + height * len(rows)), layout="constrained")
        axes = figure.subplots()
        for place, row in enumerate(rows):
            _dot_row(axes, -place, row)
        axes.set_ylim(-len(rows) + 0.55, 0.95)
        axes.margins(x=0.06)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.grid(axis="x")
        axes.set_xlabel("test accuracy (%)")
    return figure


def _dot_row(axes: Axes, place: float, row: Dots) -> None:
    colour, mean = colour_of(row.recipe), sum(row.values) / len(row.values)
    axes.axhline(place, color=QUIET, linewidth=0.5, alpha=0.35, zorder=0)
    axes.plot(row.values, [place] * len(row.values), "o", color=colour, markersize=5, alpha=0.75, markeredgewidth=0)
    if len(row.values) > 1:
        axes.plot([mean], [place], "|", color=colour, markersize=13, markeredgewidth=2.2)
    if row.paper is not None:
        axes.plot([row.paper], [place], "D", color=INK, markersize=6, fillstyle="none", markeredgewidth=1.1)
    across = axes.get_yaxis_transform()
    label = fill(row.label, LONG, max_lines=2, placeholder=" …")
    axes.text(0, place + 0.3, label, transform=across, va="bottom", linespacing=1.0, parse_math=False)
    axes.text(1, place + 0.3, f"{mean:.2f}", transform=across, va="bottom", ha="right", weight="bold")


def line_chart(
    recipe: str,
    seeds: Sequence[Mapping[int, float]],
    mean: Mapping[int, float],
    others: Sequence[Mapping[int, float]] = (),
    labels: tuple[str, str] = ("", ""),
    limits: tuple[float, float] | None = None,
) -> Figure:
    """One recipe: its mean as a thick line, its seeds as thin ones, other recipes in grey behind it.

    Args:
        recipe: chooses the colour.
        seeds: one curve a seed, x -> y.
        mean: their mean.
        others: means of other recipes.
        labels: of the axes.
        limits: of the y axis; None for what fits the curves.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(3.2, 2.0), layout="constrained")
        axes = figure.subplots()
        for curve in others:
            axes.plot(list(curve), list(curve.values()), color=QUIET, linewidth=0.7, alpha=0.6)
        for curve in seeds if len(seeds) > 1 else ():
            axes.plot(list(curve), list(curve.values()), color=colour_of(recipe), linewidth=0.7, alpha=0.6)
        mark = "o" if len(mean) < 15 else None
        axes.plot(list(mean), list(mean.values()), color=colour_of(recipe), linewidth=1.9, marker=mark, markersize=3)
        axes.set(xlabel=labels[0], ylabel=labels[1])
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.grid(axis="y")
        if limits is not None:
            axes.set_ylim(*limits)
    return figure


def to_svg(figure: Figure, name: str, sentence: str) -> str:
    """A figure as an `<svg>` element that can stand in an HTML page beside others.

    Args:
        figure: drawn with the stand-ins of this module.
        name: begins all its ids; differs from those of the page's other charts.
        sentence: what it shows, for those who do not see it.

    Example:
        >>> 'aria-label="Nothing."' in to_svg(Figure(figsize=(1, 1)), "empty", "Nothing.")
        True
    """
    text = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    drawn = ElementTree.fromstring(text.getvalue())
    used_ids = set(re.findall(r"(?:url\(|href=\")#([^)\"]+)", text.getvalue()))
    for element in list(drawn.iter()):
        element.tag = element.tag.split("}")[-1]
        element[:] = [child for child in element if not child.tag.endswith(("metadata", "style"))]
        if element.tag != "text":
            element.text = None
        element.tail = None
        _adopt(element, name, used_ids)
    drawn.attrib.clear()
    drawn.attrib |= {
        "viewBox": "0 0 {:g} {:g}".format(*(72 * figure.get_size_inches())),
        "role": "img",
        "aria-label": sentence,
        "class": "chart",
    }
    return ElementTree.tostring(drawn, encoding="unicode")


def _adopt(element: ElementTree.Element, name: str, used: set[str]) -> None:
    """Make an element's ids the page's, its colours the page's, its numbers short."""
    for key, value in list(element.attrib.items()):
        del element.attrib[key]
        key = key.split("}")[-1]
        if key == "id":
            if value in used:
                element.set("id", f"{name}-{value}")
            continue
        if key == "style":
            value = re.sub(r"#0000\w\w", lambda found: PAGE_COLOURS.get(found[0], found[0]), value)
            value = re.sub(r"'DejaVu Sans'[^;]*", "system-ui, sans-serif", value)
        elif key in ("d", "x", "y", "transform", "width", "height"):
            value = re.sub(r"(\.\d\d)\d+", r"\1", " ".join(value.split()))
        element.set(key, re.sub(r"(url\(|^)#(?=\w)", rf"\1#{name}-", value) if "#" in value else value)
