"""Records to rows: mean and deviation over seeds, paired differences to a reference under the same conditions."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import RecipeError
from ..recipe.identity import relevant
from .frame import Record, accuracies, differing, grouped, kind_of_run, mean_std, paired, require_selection
from .grids import FORMATS, grid, prose
from .setting import MARK, same_runs, setting_of, warnings_of


@dataclass(frozen=True)
class Row:
    """One recipe under one set of conditions, over its seeds. Accuracies and differences are in percent.

    Args:
        recipe: name of the recipe.
        conditions: the settings that differ between the rows of the table, as `key=value`.
        seeds: n.
        mean: mean test accuracy.
        std: standard deviation over the seeds (n - 1 in the denominator); None for one seed.
        difference: mean paired difference to the reference over the seeds both have; None without a reference.
        low: lower end of its 95 % interval (Student's t over the seeds); None for fewer than two common seeds.
        high: upper end.
        protocol: name of the split protocol; a leaky one says so.
        kind: `real`, `simulated` or `embedded` data.
        selected: the rule that chose the epoch.
        setting: data set, kind of data, protocol, network, T, tier, and what differs from it, in words.
        recipe_hash: of the resolved recipe.
        warnings: what to know before the accuracies are believed, see `setting.warnings_of`.
    """

    recipe: str
    conditions: str
    seeds: int
    mean: float
    std: float | None
    difference: float | None
    low: float | None
    high: float | None
    protocol: str
    kind: str
    selected: str
    setting: tuple[str, ...]
    recipe_hash: str
    warnings: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Group:
    """All seeds of one recipe under one set of conditions: those settings that are no part of the method."""

    name: str
    method: str
    conditions: dict[str, Any]
    records: list[Record]
    accuracy: dict[int, float]
    kind: str


def summarise(records: Iterable[Record], select: str = "last", against: str = "baseline") -> list[Row]:
    """Group records by recipe and conditions.

    Args:
        records: as `store.read_records` gives them.
        select: `last`, `best_val`, or `best_test` (selected on the test set, as the papers report).
        against: last part of the reference recipe's name; rows are compared with it where all settings but the method
            agree (the baseline draws no static image, so the static pool may differ from it).

    Raises:
        RecipeError: for an unknown selection, or records without that number.
    """
    require_selection(select)
    groups = [_group(group, select) for group in grouped(records, kind_of_run).values()]
    varying = differing(group.conditions for group in groups)
    rows = [_row(group, _reference(group, groups, against), varying, select) for group in groups]
    return sorted(rows, key=lambda row: (row.conditions, row.recipe))


def render(rows: list[Row], style: str = "text") -> str:
    """Rows as `text`, `md` or `tex`, with what they share above and warnings below; or `csv` or `json`, plain numbers.

    Raises:
        RecipeError: for an unknown style.
    """
    if style == "json":
        return json.dumps([asdict(row) | {"setting": ", ".join(row.setting)} for row in rows], indent=1)
    if style == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, list(Row.__annotations__), lineterminator="\n")
        writer.writeheader()
        joined = [{"setting": ", ".join(row.setting), "warnings": "; ".join(row.warnings)} for row in rows]
        writer.writerows(asdict(row) | words for row, words in zip(rows, joined, strict=True))
        return text.getvalue().rstrip()
    if style not in FORMATS:
        raise RecipeError(f"format must be one of {', '.join([*FORMATS, 'csv', 'json'])}, not '{style}'")
    shared = [word for word in rows[0].setting if all(word in row.setting for row in rows)] if rows else []
    parts = [prose([f"All rows: {', '.join(shared)}."] if shared else [], style)]
    parts.append(grid([_shown(row, shared) for row in rows], style) if rows else "")
    parts.append(prose(_footnotes(rows), style))
    return "\n\n".join(part for part in parts if part)


def _shown(row: Row, shared: list[str]) -> dict[str, str]:
    """One row to read."""
    # The other words are in other columns: settings that differ, but for the method's, are conditions.
    own = [
        row.setting[0],
        *row.setting[4:6],
        *(word for word in row.setting if word.startswith("method.") and not word.startswith("method.steps=")),
    ]
    own = [word for word in own if word not in shared]
    return {
        "recipe": row.recipe,
        "conditions": row.conditions,
        "accuracy %": f"{row.mean:.2f}"
        + ("" if row.std is None else f" ± {row.std:.2f}")
        + f" {MARK}" * bool(row.warnings),
        "n": str(row.seeds),
        "difference [95 %]": _interval(row),
        "data": f"{row.kind}, {row.protocol}",
        "runs": ", ".join(own),
        "epoch": row.selected,
    }


def _footnotes(rows: list[Row]) -> list[str]:
    """Which rows are the same runs, and what to know before others are believed."""
    lines = same_runs((row.recipe, (row.recipe_hash, row.kind, row.setting[0])) for row in rows)
    return lines + [f"{MARK} {row.recipe}, {words}" for row in rows for words in row.warnings]


def _group(records: list[Record], select: str) -> _Group:
    first = records[0]
    conditions = {key: value for key, value in relevant(first["recipe"]).items() if not key.startswith("method.")}
    accuracy, method = accuracies(records, select), first["recipe"]["method"]["name"]
    return _Group(first["name"], method, conditions, records, accuracy, first["data"]["kind"])


def _reference(group: _Group, groups: list[_Group], against: str) -> _Group | None:
    """The group of the reference recipe under the conditions of this one."""
    for other in groups:
        free = {"data.static_pool"} if other.method == "baseline" else set()
        keys = (group.conditions.keys() | other.conditions.keys()) - free
        same = all(group.conditions.get(key) == other.conditions.get(key) for key in keys)
        if other is not group and other.name.split("/")[-1] == against and same and other.kind == group.kind:
            return other
    return None


def _row(group: _Group, reference: _Group | None, varying: list[str], select: str) -> Row:
    difference = paired(group.accuracy, reference.accuracy if reference else {})
    data = group.records[0]["data"]
    return Row(
        group.name,
        ", ".join(f"{key.partition('.')[2]}={group.conditions.get(key)}" for key in varying),
        len(group.accuracy),
        *mean_std(group.accuracy.values()),
        difference.mean if difference else None,
        difference.t_low if difference else None,
        difference.t_high if difference else None,
        data["protocol"] + (", leaks" if data["leaky"] else ""),
        group.kind,
        select,
        tuple(setting_of(group.records[0], select)),
        group.records[0]["recipe_hash"],
        warnings_of(group.records, select),
    )


def _interval(row: Row) -> str:
    if row.difference is None:
        return ""
    return f"{row.difference:+.2f}" + ("" if row.low is None else f" [{row.low:+.2f}, {row.high:+.2f}]")
