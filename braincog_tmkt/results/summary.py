"""Records to rows: mean and deviation over seeds, paired differences to a reference under the same conditions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..errors import RecipeError
from ..recipe.identity import relevant
from ..registry import did_you_mean
from .frame import Record, Runs, accuracies, differing, group_runs, mean_std, paired, require_selection
from .given import Given, beside
from .grids import MARK, Section, document, interval, mean_in_words
from .setting import same_runs, setting_of, warnings_of


@dataclass(frozen=True)
class Row:
    """One recipe under one set of conditions, over its seeds. Accuracies and differences are in percent.

    Args:
        recipe: name of the recipe.
        conditions: the settings that differ between the rows of the table, as `key=value`; those of the method only
            where nothing else tells two rows apart.
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
        given_by: the file that gives the numbers; empty for trained runs.
        not_compared: why a result is not compared with the reference; empty if it is, or if there is no reference.
        notes: what the file says of the result.
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
    given_by: str = ""
    not_compared: str = ""
    notes: str = ""


def summarise(
    records: Iterable[Record], select: str = "last", against: str = "baseline", given: Sequence[Given] = ()
) -> list[Row]:
    """Group records by recipe and conditions.

    Args:
        records: as `store.read_records` gives them.
        select: `last`, `best_val`, or `best_test` (selected on the test set, as the papers report).
        against: last part of the reference recipe's name; rows are compared with it where all settings but the method
            agree, on the same recordings (the baseline draws no static image, so the static pool may differ from it).
        given: results that files give; they follow the records' rows.

    Raises:
        RecipeError: for an unknown selection, or records without that number.
    """
    require_selection(select)
    groups = {group: _conditions(group) for group in group_runs(records)}
    varying = [
        key for key in differing(groups.values()) if not key.startswith("code.") or _several(groups.values(), key)
    ]
    rows = [_row(group, _references(group, groups, against), groups[group], varying, select) for group in groups]
    alike = Counter(_shown_by(row) for row in rows)
    rows = [
        _told_apart(row, group, groups) if alike[_shown_by(row)] > 1 else row
        for row, group in zip(rows, groups, strict=True)
    ]
    references = [group for group in groups if group.name.split("/")[-1] == against]
    return sorted(rows, key=lambda row: (row.conditions, row.recipe)) + [
        _given_row(one, references, against if rows else "", select) for one in given
    ]


def render(rows: list[Row], style: str = "text") -> str:
    """Rows as `text`, `md` or `tex`, with what runs share above and notes below; or `csv` or `json`, plain numbers.

    Raises:
        RecipeError: for an unknown style.
    """
    trained = [row for row in rows if not row.given_by]
    shared = [word for word in trained[0].setting if all(word in row.setting for row in trained)] if trained else []
    above = [f"{'All rows' if trained == rows else 'All trained rows'}: {', '.join(shared)}."] if shared else []
    plain = [asdict(row) | {"setting": ", ".join(row.setting)} for row in rows]
    flat = [row | {"warnings": "; ".join(row["warnings"])} for row in plain]
    caption = ["Test accuracy in percent, mean ± deviation over n seeds.", *above]
    if any(row.difference is not None for row in rows):
        caption.append("Difference: mean over the seeds that both have, with Student's 95 % confidence interval.")
    groups = ["given" if row.given_by else row.conditions for row in rows]
    section = Section(
        [_shown(row, shared) for row in rows], above, (), _notes(rows), "runs", caption, groups, "conditions"
    )
    return document(style, [section], flat, plain)


def _shown(row: Row, shared: list[str]) -> dict[str, str]:
    """One row to read."""
    # The other words are in other columns: settings that differ, but for the method's, are conditions.
    own = [
        row.setting[0],
        *row.setting[4:6],
        *(word for word in row.setting if word.startswith("method.") and not word.startswith("method.steps=")),
    ]
    own = [word for word in own if word not in shared]
    if row.given_by:
        own = [f"given by {row.given_by}", row.setting[0], *row.setting[3:-1]]
    return {
        "recipe": row.recipe,
        "conditions": row.conditions,
        "accuracy %": mean_in_words(row.mean, row.std, row.warnings),
        "n": str(row.seeds),
        "difference [95 %]": interval(row.difference, row.low, row.high),
        "data": f"{row.kind or 'kind not given'}, {row.protocol}",
        "runs": ", ".join(own),
        "epoch": row.selected or "not given",
    }


def _notes(rows: list[Row]) -> list[str]:
    """Which rows are the same runs, why given ones are not compared, and what to know before others are believed."""
    trained = [row for row in rows if not row.given_by]
    lines = same_runs((row.recipe, (row.recipe_hash, row.kind, row.setting[0])) for row in trained)
    for row in rows:
        reason = f"not compared: {row.not_compared}" if row.not_compared else ""
        if said := "; ".join(part for part in (row.notes, reason) if part):
            lines.append(f"{row.recipe}{f', given by {row.given_by}' if row.given_by else ''}: {said}")
    return list(dict.fromkeys(lines)) + [f"{MARK} {row.recipe}, {words}" for row in rows for words in row.warnings]


def _shown_by(row: Row) -> tuple[str, ...]:
    """What tells a row of trained runs from the others."""
    return row.recipe, row.conditions, row.kind, row.protocol, *row.setting


def _told_apart(row: Row, group: Runs, groups: Iterable[Runs]) -> Row:
    """A row with the keys of the method, and the split, that differ between the runs of its name."""
    same_name = [other for other in groups if other.name == group.name]
    own = relevant(group.first["recipe"])
    keys = differing(relevant(other.first["recipe"]) for other in same_name)
    words = [f"{key.partition('.')[2]}={own.get(key)}" for key in keys if key.startswith("method.")]
    if len({other.first["data"].get("split") for other in same_name}) > 1:
        words.append(f"split={group.first['data']['split'][:8]}")
    return replace(row, conditions=", ".join(filter(None, [row.conditions, *words])))


def require_recipe(records: Iterable[Record], name: str | None) -> None:
    """Refuse a reference that no record is of; None stands for the usual one, which may be missing.

    Raises:
        RecipeError: with the nearest name.
    """
    names = {record["name"].split("/")[-1] for record in records}
    if name is not None and name not in names:
        raise RecipeError(f"no record is of a recipe '{name}' to compare with: {did_you_mean(name, names)}")


def _several(groups: Iterable[Mapping[str, Any]], key: str) -> bool:
    """Whether those that have a key have several values of it."""
    return len({conditions[key] for conditions in groups if key in conditions}) > 1


def _conditions(group: Runs) -> dict[str, Any]:
    """The settings that are no part of the method."""
    return {key: value for key, value in relevant(group.first["recipe"]).items() if not key.startswith("method.")}


def _references(group: Runs, groups: Mapping[Runs, dict[str, Any]], against: str) -> list[Runs]:
    """The groups of the reference recipe under the conditions of this one; none for the reference itself."""
    found: list[Runs] = []
    for other, conditions in groups.items() if group.name.split("/")[-1] != against else ():
        free = {"data.static_pool"} if other.first["recipe"]["method"]["name"] == "baseline" else set()
        free |= {key for key in groups[group].keys() ^ conditions.keys() if key.startswith("code.")}  # one's alone
        keys = (groups[group].keys() | conditions.keys()) - free
        alike = all(groups[group].get(key) == conditions.get(key) for key in keys)
        if other.name.split("/")[-1] == against and alike and _same_recordings(group.first, other.first):
            found.append(other)
    return found


def _same_recordings(one: Record, other: Record) -> bool:
    """Whether two runs have the same recordings in each part of their splits."""
    pools = {record["recipe"]["data"].get("static_pool") for record in (one, other)}
    keys = ["kind", "split"]
    if len(pools) > 1:  # the hash of a split is also of the images that it draws
        keys = ["kind", "set", "fingerprint", "classes", "train", "val", "test"]
    return all(one["data"].get(key) == other["data"].get(key) for key in keys)


def _row(group: Runs, references: Sequence[Runs], conditions: dict[str, Any], varying: list[str], select: str) -> Row:
    accuracy, data = accuracies(group.records, select), group.first["data"]
    difference = paired(accuracy, accuracies(references[0].records, select)) if len(references) == 1 else None
    titles = " and ".join(reference.title for reference in references)
    return Row(
        group.name,
        ", ".join(f"{key.partition('.')[2]}={conditions.get(key)}" for key in varying),
        len(accuracy),
        *mean_std(accuracy.values()),
        difference.mean if difference else None,
        difference.t_low if difference else None,
        difference.t_high if difference else None,
        data["protocol"] + (", leaks" if data["leaky"] else ""),
        data["kind"],
        select,
        tuple(setting_of(group.first, select)),
        group.first["recipe_hash"],
        warnings_of(group.records, select),
        not_compared=f"{titles} have its data and settings: give one of them" if len(references) > 1 else "",
    )


def _given_row(given: Given, references: Sequence[Runs], against: str, select: str) -> Row:
    """A given result, compared with the group of the reference that has its conditions."""
    found = beside(given, [group.records for group in references], against, select)
    difference = found.against
    return Row(
        given.method,
        "",
        len(given.accuracy),
        given.mean,
        given.std,
        difference.mean if difference else None,
        difference.t_low if difference else None,
        difference.t_high if difference else None,
        given.protocol,
        given.kind,
        given.selection,
        given.words,
        "",
        (),
        given.file,
        found.reason,
        "; ".join(given.said),
    )
