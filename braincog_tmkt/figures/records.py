"""What pictures of records take from them: which runs are seeds of one another, and what tells others apart."""

from __future__ import annotations

import csv
import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from ..errors import RecipeError, TrainingError
from ..methods import METHODS
from ..recipe.identity import ADDED, relevant
from ..results.schema import STEPS, faults
from ..results.setting import MARK, warnings_of
from ..results.store import RECORD, read_record, record_files

Record = Mapping[str, Any]
Curve = dict[int, float]

BY_STEPS = "by_steps"
"""Key of a record that holds what `tmkt eval --steps` measured, where that lies beside the record."""

NAMES = {"baseline": "TET", "hsd": "HSD"}
"""What the papers call a method."""


@dataclass(frozen=True, eq=False)
class Group:
    """Runs that differ in their seed, and perhaps in settings that the picture has an axis for.

    Args:
        method: in the paper's words.
        label: what tells them apart from other groups of this method, in words; may be empty.
        records: theirs.
    """

    method: str
    label: str
    records: tuple[Record, ...]

    @property
    def title(self) -> str:
        """Method and label."""
        return f"{self.method}, {self.label}" if self.label else self.method


class Point(NamedTuple):
    """Runs of several seeds at one place.

    Args:
        x: the place.
        mean: over the seeds.
        std: over the seeds (n - 1 in the denominator), 0 for one.
        seeds: n.
    """

    x: int
    mean: float
    std: float
    seeds: int


def read_finished(places: Iterable[str | Path]) -> list[dict[str, Any]]:
    """The records in some files and folders, with the measurements of `tmkt eval --steps` that lie beside them.

    These are `steps.csv` in a run folder, `<name>.steps.csv` beside a kept record `<name>.json`; a record gets their
    rows as `by_steps`.

    Raises:
        TrainingError: for a file that is no record, a place that holds none, or a damaged `steps.csv`.
    """
    records = []
    for file in record_files(places):
        record = read_record(file)
        beside = [_steps_beside(name) for name in (file, file.resolve())]  # of a link: or where it leads
        steps = next((name for name in beside if name.is_file()), None)
        records.append(record | {BY_STEPS: _read_steps(steps)} if steps else record)
    return records


def _steps_beside(file: Path) -> Path:
    return file.with_name("steps.csv") if file.name == RECORD else file.with_suffix(".steps.csv")


def _read_steps(file: Path) -> list[dict[str, float]]:
    try:
        rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
        found = [{key: float(value) for key, value in row.items() if key} for row in rows]
        found = [{**row, "steps": int(row["steps"])} for row in found]
    except (OSError, ValueError, TypeError, KeyError, OverflowError, csv.Error) as error:
        raise TrainingError(f"{file} cannot be read ({error}): make it again with tmkt eval RUN --steps") from error
    if wrong := list(faults(found, [STEPS])):
        key, words = wrong[0]
        raise TrainingError(
            f"{file} does not hold what it should: row{key} {f'must be {words}' if words else 'is missing'}: make it"
            " again with tmkt eval RUN --steps"
        )
    return found


def require_records(records: Sequence[Record]) -> None:
    """Refuse to draw nothing.

    Raises:
        RecipeError: if there is no record.
    """
    if not records:
        raise RecipeError("no record is left to draw: name folders with finished runs, or choose fewer key=value")


def by_data(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Records by what they were tested on, in words."""
    found: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        found.setdefault((data_in_words(record), record["data"]["split"]), []).append(record)
    several = [words for words, _ in found]
    return {
        f"{words}, {split[:8]}" if several.count(words) > 1 else words: group
        for (words, split), group in sorted(found.items(), key=lambda item: item[0])
    }


def data_in_words(record: Record) -> str:
    """Data set, kind of data and protocol.

    Example:
        >>> data_in_words({"data": {"set": "nmnist", "kind": "real", "protocol": "published", "leaky": True}})
        "nmnist (real data), split 'published' (leaky)"
    """
    data = record["data"]
    return f"{data['set']} ({data['kind']} data), split '{data['protocol']}'" + (" (leaky)" if data["leaky"] else "")


def group_seeds(records: Iterable[Record], axes: Iterable[str] = ()) -> list[Group]:
    """Records of the same test recordings by their settings.

    Args:
        records: some.
        axes: keys that may differ within a group, since the picture shows what they do.
    """
    found: dict[str, list[Record]] = {}
    settings: dict[str, dict[str, Any]] = {}
    for record in records:
        own = {key: value for key, value in _settings(record).items() if key not in axes}
        name = str(sorted(own.items()))
        found.setdefault(name, []).append(record)
        settings[name] = own
    methods = {name: method_in_words(group[0]) for name, group in found.items()}
    groups = []
    for name, group in found.items():
        alike = [settings[other] for other in found if methods[other] == methods[name]]
        keys = [key for key in sorted(set().union(*alike)) if len({str(each.get(key)) for each in alike}) > 1]
        words = [setting_in_words(key, settings[name].get(key)) for key in keys]
        ordered = [settings[name].get(key) for key in keys]
        groups.append((ordered, Group(methods[name], ", ".join(words), tuple(group))))
    return [group for _, group in sorted(groups, key=lambda item: (item[1].method, [*map(_order, item[0])]))]


def _order(value: Any) -> tuple[float, str]:
    """Numbers by size, and before words."""
    number = isinstance(value, int | float)
    return (float(value), "") if number else (float("inf"), str(value))


def _settings(record: Record) -> dict[str, Any]:
    """All that changes the result, with the defaults of the method."""
    method = METHODS.get(record["recipe"]["method"]["name"])
    parameters = inspect.signature(method).parameters if method else {}
    plain = (int, float, str)
    defaults = {f"method.{key}": one.default for key, one in parameters.items() if isinstance(one.default, plain)}
    return ADDED | defaults | relevant(record["recipe"])


def method_in_words(record: Record) -> str:
    """What the papers call a record's method."""
    method = record["recipe"]["method"]
    if method["name"] == "baseline" and not method.get("tet", True):
        return "cross-entropy of the mean"
    return NAMES.get(method["name"], method["name"])


def setting_in_words(key: str, value: Any) -> str:
    """A setting as a line is labelled with it.

    Example:
        >>> setting_in_words("method.temperature", 5.0), setting_in_words("stages.ann.train.epochs", 9)
        ('temperature 5', 'ann train epochs 9')
        >>> setting_in_words("method.distillation", "skd"), setting_in_words("method.pretraining", {"name": "tmkt"})
        ('SKD', 'pretraining tmkt')
    """
    if key == "method.distillation":
        return "no distillation" if value == "none" else str(value).upper()
    if isinstance(value, Mapping):
        value = value.get("name", value)
    elif isinstance(value, float):
        value = f"{value:g}"
    return f"{key.partition('.')[2].replace('.', ' ').replace('_', ' ')} {value}"


def warnings_in_words(groups: Iterable[Group], select: str = "last") -> list[str]:
    """What to know before the numbers of some groups are believed."""
    return [f"{MARK} {group.title}, {words}" for group in groups for words in warnings_of(group.records, select)]


def by_seed(group: Group, curve_of: Any, records: Iterable[Record]) -> dict[int, Curve]:
    """One curve a seed.

    Raises:
        RecipeError: if a seed is there twice, with different numbers.
    """
    curves: dict[int, Curve] = {}
    for record in records:
        curve = curve_of(record)
        if curves.setdefault(record["seed"], curve) != curve:
            raise RecipeError(
                f"seed {record['seed']} of {record['name']} ({group.title}) is there twice, with different results:"
                " give one folder of it"
            )
    return curves


def over_seeds(curves: Iterable[Curve]) -> list[Point]:
    """Mean and deviation where all seeds have a value.

    Example:
        >>> over_seeds([{1: 2.0, 2: 4.0}, {1: 4.0}])
        [Point(x=1, mean=3.0, std=1.4142135623730951, seeds=2)]
    """
    curves = list(curves)
    places = sorted(set.intersection(*map(set, curves))) if curves else []
    values = {place: [curve[place] for curve in curves] for place in places}
    return [
        Point(place, fmean(found), stdev(found) if len(found) > 1 else 0.0, len(found))
        for place, found in values.items()
    ]
