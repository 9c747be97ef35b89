"""Results that a file gives, shown beside trained runs: never mixed with them, compared only where that is fair."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ..errors import RecipeError
from ..recipe import PAPER
from .frame import OverSeeds, Paired, Record, accuracies, grouped, paired
from .setting import PROTOCOL, nearest_tier
from .stages import steps_of


@dataclass(frozen=True)
class Given(OverSeeds):
    """One method's results under one set of conditions, as a file gives them, over its seeds; accuracies in percent.

    Args:
        file: the file, as the user named it.
        method: what the row is called.
        dataset: name of the data set, as in `tmkt list`.
        protocol: name of the split protocol.
        accuracy: test accuracy by seed.
        kind: `real`, `simulated` or `embedded` data; empty where the file does not say, as all that follow.
        split: hash of the split, or its first 8 digits or more.
        selection: which epoch the accuracy is of: `last`, `best_val` or `best_test`.
        steps: T.
        network: what it is called.
        said: sources and notes, each once.
    """

    file: str
    method: str
    dataset: str
    protocol: str
    accuracy: dict[int, float]
    kind: str = ""
    split: str = ""
    selection: str = ""
    steps: int | None = None
    network: str = ""
    said: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Whose numbers these are.

        Example:
            >>> Given("mine.csv", "My-SNN", "nmnist", "clean", {1: 90.0}).label
            'given by mine.csv'
        """
        return f"given by {self.file}"

    @property
    def words(self) -> tuple[str, ...]:
        """How they were made, as far as the file says."""
        words = [
            self.dataset,
            f"{self.kind} data" if self.kind else "kind of data not given",
            f"protocol {self.protocol}",
            self.network,
            f"T {self.steps}" if self.steps else "",
            f"split {self.split[:8]}" if self.split else "",
            f"epoch {self.selection or 'not given'}",
        ]
        return tuple(word for word in words if word)


@dataclass(frozen=True)
class Beside:
    """A given result beside the runs of a table's reference.

    Args:
        given: the result.
        against: paired difference, given minus reference; None where they are not compared.
        reason: why not; empty where they are, and where there is no reference.
    """

    given: Given
    against: Paired | None = None
    reason: str = ""

    @property
    def setting(self) -> str:
        """Whose numbers these are, how they were made, and why they are not compared."""
        reason = f"not compared: {self.reason}" if self.reason else ""
        return "; ".join(
            part for part in (f"{self.given.label}: {', '.join(self.given.words)}", *self.given.said, reason) if part
        )


def beside(given: Given, references: Sequence[Sequence[Record]], name: str, select: str) -> Beside:
    """Compare a given result with the runs of the reference, where that is fair.

    Args:
        given: the result.
        references: the runs, a group for each set of conditions; none if there are none.
        name: of the reference; empty for a table without one.
        select: which epoch's accuracy is compared.
    """
    if not name:
        return Beside(given)
    if not references:
        return Beside(given, reason=f"there is no run of {name} (--reference chooses another one)")
    references = [group for group in references if group[0]["data"]["set"] == given.dataset] or references
    reasons = [why_not(given, group[0], select) for group in references]
    fair = [group for group, reason in zip(references, reasons, strict=True) if not reason]
    if len(fair) != 1:
        several = f"{len(fair)} groups of {name} runs have its data and protocol: choose one with key=value"
        return Beside(given, reason=several if fair else reasons[0])
    accuracy = accuracies(fair[0], select)
    against = paired(given.accuracy, accuracy)
    seeds = ", ".join(map(str, sorted(accuracy)))
    return Beside(given, against, "" if against else f"no seed in common (those of {name} are {seeds})")


def why_not(given: Given, record: Record, select: str) -> str:
    """Why a given result cannot be compared with a run; empty if it can.

    Both must be of one data set, kind of data, protocol and epoch, and, where the file gives them, of one split and T.
    Without a split, the run must be on the whole data set as its recipe splits it.
    """
    data, steps = record["data"], steps_of(record["recipe"])
    if given.dataset != data["set"]:
        return f"another data set (the runs are on {data['set']})"
    if given.protocol != data["protocol"]:
        return f"another protocol (the runs have {data['protocol']})"
    if given.kind != data["kind"]:
        has = f"{data['kind']} data"
        return f"another kind of data (the runs have {has})" if given.kind else _not_given("kind", has)
    if given.split and not data["split"].startswith(given.split):
        return f"another split (the runs have {data['split'][:8]})"
    if not given.split and not _is_whole(record):
        return _not_given("split", f"a part of {data['set']}, split {data['split'][:8]}")
    if given.selection != select:
        return f"another epoch (the runs' is {select})" if given.selection else _not_given("selection", select)
    if given.steps and given.steps != steps:
        return f"another number of time steps (the runs have {steps})"
    return ""


def _not_given(column: str, has: str) -> str:
    return f"there is no column '{column}' to tell whether it agrees (the runs have {has})"


def _is_whole(record: Record) -> bool:
    """Whether a run was on all recordings of its data set, split as its recipe says."""
    tier, changed = nearest_tier(record)
    part = record["recipe"]["data"].get("train_per_class") is not None or not record["data"].get("complete", False)
    return not part and tier == PAPER and not any(key.startswith("data.") for key in set(changed) - {PROTOCOL})


def of_seeds(given: Iterable[Given], seeds: Sequence[int] | None) -> list[Given]:
    """Given results of some seeds only.

    Raises:
        RecipeError: for a result that has none of them.
    """
    found = []
    for one in given:
        accuracy = {seed: value for seed, value in one.accuracy.items() if not seeds or seed in seeds}
        if not accuracy:
            there = ", ".join(map(str, one.accuracy))
            raise RecipeError(f"{one.file} gives {one.method} none of the seeds wanted: it has {there}")
        found.append(replace(one, accuracy=accuracy))
    return found


def left_out(given: Iterable[Given], shown: Iterable[Beside], why: str) -> list[str]:
    """For each file, a sentence on those of its results that a table does not show."""
    places = [line.given for line in shown]
    rest = [one for one in given if one not in places]
    return [
        f"left out of {file}: {len(group)} result{'s' * (len(group) > 1)} on"
        f" {', '.join(dict.fromkeys(one.dataset for one in group))}, {why}"
        for file, group in grouped(rest, lambda one: one.file).items()
    ]
