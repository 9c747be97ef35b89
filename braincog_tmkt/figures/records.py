"""What pictures of records take from them: which runs are seeds of one another, and what tells others apart."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import RecipeError
from ..methods import METHODS
from ..recipe.identity import ADDED, relevant
from ..results.frame import Record, Runs, differing, grouped
from ..results.grids import MARK
from ..results.identity import identity_of
from ..results.setting import warnings_of


def require_records(records: Sequence[Record]) -> None:
    """Refuse to draw nothing.

    Raises:
        RecipeError: if there is no record.
    """
    if not records:
        raise RecipeError("no record is left to draw: name folders with finished runs, or choose fewer key=value")


def by_data(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Records by what they were tested on, in words."""
    found = sorted(grouped(records, lambda record: (data_in_words(record), record["data"]["split"])).items())
    several = [words for (words, _), _ in found]
    return {f"{words}, {split[:8]}" if several.count(words) > 1 else words: group for (words, split), group in found}


def data_in_words(record: Record) -> str:
    """Data set, kind of data and protocol.

    Example:
        >>> data_in_words({"data": {"set": "nmnist", "kind": "real", "protocol": "published", "leaky": True}})
        "nmnist (real data), split 'published' (leaky)"
    """
    data = record["data"]
    return f"{data['set']} ({data['kind']} data), split '{data['protocol']}'" + (" (leaky)" if data["leaky"] else "")


def group_seeds(records: Iterable[Record], axes: Iterable[str] = ()) -> list[Runs]:
    """Records of the same test recordings by their settings: named by method, labelled by what differs within it.

    Args:
        records: some.
        axes: keys that may differ within a group, since the picture shows what they do.
    """

    def settings(record: Record) -> dict[str, Any]:
        return {key: value for key, value in _settings(record).items() if key not in axes}

    found = list(grouped(records, lambda record: str(sorted(settings(record).items()))).values())
    groups = []
    for method, alike in grouped(found, lambda group: method_in_words(group[0])).items():
        keys = differing(settings(group[0]) for group in alike)
        for group in alike:
            own = settings(group[0])
            label = ", ".join(setting_in_words(key, own.get(key)) for key in keys)
            runs = Runs(method, f"{method}, {label}" if label else method, tuple(group), label)
            groups.append((method, [_order(own.get(key)) for key in keys], runs))
    return [runs for *_, runs in sorted(groups, key=lambda item: item[:2])]


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
    found = ADDED | defaults | relevant(record["recipe"])
    if found.get("method.tet") is True:  # an older way to write the default loss of the baseline
        del found["method.tet"]
    return found


def method_in_words(record: Record) -> str:
    """What the papers call a record's method."""
    method = record["recipe"]["method"]
    if method["name"] == "baseline" and not method.get("tet", True):
        return "cross-entropy of the mean"
    return identity_of(method["name"]).label


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


def warnings_in_words(groups: Iterable[Runs], select: str = "last") -> list[str]:
    """What to know before the numbers of some groups are believed."""
    return [f"{MARK} {group.title}, {words}" for group in groups for words in warnings_of(group.records, select)]
