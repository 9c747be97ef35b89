"""Charts of the page: where everything stands, in the units of an SVG; `templates/charts.html` draws it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor, log10
from textwrap import wrap

LONG = 46
"""Longer labels of a dot chart take two lines."""
ROW, LINE, AXIS = 34.0, 14.0, 40.0
"""Heights of a row of dots, of a further line of its label, of the x axis with its name."""


@dataclass(frozen=True)
class Axis:
    """Values on one side of a chart.

    Args:
        low: the smallest value that is shown.
        high: the largest.
        start: where `low` stands.
        end: where `high` stands.
        ticks: values that are named.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """Where a value stands, to a tenth of a unit."""
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)

    def marks(self) -> list[tuple[float, str]]:
        """Places and words of the ticks."""
        step = self.ticks[1] - self.ticks[0] if len(self.ticks) > 1 else 1.0
        digits = max(0, -floor(log10(step) + 1e-9))
        return [(self.at(tick), f"{tick:.{digits}f}") for tick in self.ticks]


def axis(
    values: Iterable[float], start: float, end: float, most: int, whole: bool = False, margin: float = 0.0
) -> Axis:
    """An axis that some values fit on.

    Args:
        values: one at least.
        start: where the smallest stands.
        end: where the largest stands.
        most: ticks, about.
        whole: ticks at whole numbers only.
        margin: free room beside the values, as a share of their range.

    Example:
        >>> axis([0.0, 10.0], 0, 100, 5).marks()
        [(0.0, '0'), (20.0, '2'), (40.0, '4'), (60.0, '6'), (80.0, '8'), (100.0, '10')]
    """
    values = list(values)
    low, high = min(values), max(values)
    spread = high - low or max(1.0, abs(high) * 0.1)
    low, high = (low - margin * spread, high + margin * spread) if high > low else (low - spread / 2, high + spread / 2)
    rough = (high - low) / most
    power = 10.0 ** floor(log10(rough))
    step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= rough * 0.999)
    step = max(1.0, step) if whole else step
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return Axis(low, high, start, end, tuple(step * number for number in range(first, last + 1)))


@dataclass(frozen=True)
class Dots:
    """One row of a dot chart, in percent.

    Args:
        label: what stands above the row.
        colour: as `#rrggbb`.
        values: one a seed.
        paper: the paper's value where it is comparable.
    """

    label: str
    colour: str
    values: tuple[float, ...]
    paper: float | None = None

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return sum(self.values) / len(self.values)

    @property
    def lines(self) -> list[str]:
        """The label in one line or two."""
        return wrap(self.label, LONG, max_lines=2, placeholder=" …") or [""]


@dataclass(frozen=True, eq=False)
class DotChart:
    """Accuracies, one row a method: every seed a dot, the mean a bar with its value, the paper's value hollow.

    Args:
        rows: from above.
        sentence: what it shows, for those who do not see it.
    """

    rows: Sequence[Dots]
    sentence: str
    kind = "dots"
    width = 400.0

    @cached_property
    def placed(self) -> list[tuple[float, Dots]]:
        """Every row and the height at which its dots stand."""
        y, found = 4.0, []
        for row in self.rows:
            y += ROW + LINE * (len(row.lines) - 1)
            found.append((y - 8, row))
        return found

    @property
    def height(self) -> float:
        """With the axis."""
        return self.placed[-1][0] + 8 + AXIS

    @cached_property
    def x(self) -> Axis:
        """Of all rows."""
        values = [value for row in self.rows for value in (*row.values, *([] if row.paper is None else [row.paper]))]
        return axis(values, 8, self.width - 8, 5, margin=0.06)


@dataclass(frozen=True, eq=False)
class LineChart:
    """One recipe: its mean as a thick line, its seeds as thin ones, other recipes in grey behind it.

    Args:
        colour: of the recipe, as `#rrggbb`.
        seeds: one curve a seed, x -> y.
        mean: their mean.
        others: means of other recipes.
        names: of the axes.
        limits: of the y axis; None for what fits the curves.
        sentence: what it shows, for those who do not see it.
    """

    colour: str
    seeds: Sequence[Mapping[int, float]]
    mean: Mapping[int, float]
    others: Sequence[Mapping[int, float]]
    names: tuple[str, str]
    limits: tuple[float, float] | None
    sentence: str
    kind = "lines"
    width, height = 320.0, 200.0

    @cached_property
    def x(self) -> Axis:
        """Epochs or time steps, of all curves."""
        places = [place for curve in (*self.seeds, *self.others) for place in curve]
        return axis(places, 46, self.width - 10, 5, whole=True)

    @cached_property
    def y(self) -> Axis:
        """What was measured."""
        values = [value for curve in self.seeds for value in curve.values()]
        return axis(self.limits or values, self.height - AXIS, 10, 4, margin=0.0 if self.limits else 0.05)

    def path(self, curve: Mapping[int, float]) -> str:
        """The points of a polyline."""
        x, y = self.x, self.y
        return " ".join(f"{x.at(place):g},{y.at(value):g}" for place, value in curve.items())
