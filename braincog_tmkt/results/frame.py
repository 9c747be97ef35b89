"""Runs over seeds: which runs are seeds of one another, their mean and deviation, paired differences, in one place.

It is plain Python on purpose: groups have three to six numbers, and a data frame library would take half of the second
that `tmkt table` and `tmkt report` need from start to end.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, NamedTuple, TypeVar

from ..errors import RecipeError
from ..recipe.identity import relevant
from .schema import SELECTIONS

Record = Mapping[str, Any]
Curve = dict[int, float]
T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

RESAMPLES = 9_999
"""Of the bootstrap."""
QUANTILES = (12.706204736174694, 4.302652729749462, 3.1824463052837078, 2.7764451051977934, 2.5705818356363146)
"""97.5 % of Student's t for 1 to 5 degrees of freedom; more are worked out by scipy, which takes long to load."""


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs that differ in their seed, and in what a figure has an axis for.

    Args:
        name: what they share with other groups: a recipe, or a method's label.
        title: name and what tells them apart from the other groups of that name.
        records: theirs, one a seed at least.
        label: what tells them apart, alone.
    """

    name: str
    title: str
    records: tuple[Record, ...]
    label: str = ""

    @property
    def first(self) -> Record:
        """One record, for what all seeds share."""
        return self.records[0]


class Point(NamedTuple):
    """Runs of several seeds at one place of a curve.

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


class Paired(NamedTuple):
    """The mean difference over the seeds that two sets of runs have in common; percentage points.

    Args:
        mean: mean of ours - theirs.
        seeds: n.
        low: lower end of the 95 % percentile bootstrap interval of the mean (9,999 resamples of the seeds); None for
            one seed. With few seeds it is too narrow: for 3 it is about the range of the three differences, which
            includes the true mean 3 times out of 4.
        high: its upper end.
        t_low: lower end of Student's 95 % confidence interval, which `verdict` goes by: right for few seeds, too, if
            the differences are about normal; None for one seed, or differences that are all the same.
        t_high: its upper end.
    """

    mean: float
    seeds: int
    low: float | None
    high: float | None
    t_low: float | None
    t_high: float | None

    @property
    def verdict(self) -> str:
        """`higher` or `lower` if Student's interval excludes 0, `open` if not, or where there is none."""
        if self.t_low is None or self.t_high is None or self.t_low <= 0 <= self.t_high:
            return "open"
        return "higher" if self.mean > 0 else "lower"


def mean_std(values: Iterable[float]) -> tuple[float, float | None]:
    """Mean and standard deviation (n - 1 in the denominator); the latter is None for one value.

    Example:
        >>> mean_std([1.0, 2.0, 3.0]), mean_std([1.0])
        ((2.0, 1.0), (1.0, None))
    """
    values = list(values)
    return fmean(values), stdev(values) if len(values) > 1 else None


class OverSeeds:
    """Has an `accuracy` by seed, in percent."""

    accuracy: dict[int, float]

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return mean_std(self.accuracy.values())[0]

    @property
    def std(self) -> float | None:
        """Standard deviation over the seeds (n - 1 in the denominator); None for one seed."""
        return mean_std(self.accuracy.values())[1]


def differences(ours: Mapping[int, float], theirs: Mapping[int, float]) -> dict[int, float]:
    """Seed -> ours minus theirs, for the seeds that both have.

    Example:
        >>> differences({1: 81.0, 2: 85.0}, {2: 82.0, 3: 84.0})
        {2: 3.0}
    """
    # Rounded: equal differences of shares come out unequal in the last digits, and would look like a spread.
    return {seed: round(ours[seed] - theirs[seed], 9) for seed in sorted(ours.keys() & theirs.keys())}


def paired(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Paired | None:
    """Compare accuracies by seed; None without a common seed.

    Example:
        >>> result = paired({1: 81.0, 2: 85.0, 3: 86.0}, {1: 80.0, 2: 82.0, 3: 84.0})
        >>> round(result.mean, 2), round(result.t_low, 2), round(result.t_high, 2), result.verdict
        (2.0, -0.48, 4.48, 'open')
    """
    gaps = [*differences(ours, theirs).values()]
    if not gaps:
        return None
    mean, std = mean_std(gaps)
    count = len(gaps)
    if std is None:
        return Paired(mean, 1, None, None, None, None)
    if len(set(gaps)) == 1:  # no spread to judge the mean by: two seeds can agree by chance
        return Paired(mean, count, mean, mean, None, None)
    reach = _quantile(count - 1) * std / count**0.5
    return Paired(mean, count, *bootstrap(gaps), mean - reach, mean + reach)


def _quantile(freedom: int) -> float:
    """97.5 % of Student's t."""
    if freedom <= len(QUANTILES):
        return QUANTILES[freedom - 1]
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))


def bootstrap(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of a mean, the numbers of `scipy.stats.bootstrap` with seed 0."""
    import numpy as np

    rows = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    means = np.sort(np.asarray(values)[..., rows].mean(-1))
    tail = (1 - 0.95) / 2

    def quantile(portion: float) -> float:
        whole, rest = divmod(portion * RESAMPLES + (1 - portion), 1)
        return float((1 - rest) * means[int(whole) - 1] + rest * means[int(whole)])

    return quantile(tail), quantile(1 - tail)


def require_selection(select: str) -> None:
    """Refuse an unknown way to select an epoch.

    Raises:
        RecipeError: naming those there are.
    """
    if select not in SELECTIONS:
        raise RecipeError(f"select must be one of {', '.join(SELECTIONS)}, not '{select}'")


def grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Items by a key, in the order in which the keys come.

    Example:
        >>> grouped([3, 1, 4], lambda number: number % 2)
        {1: [3, 1], 0: [4]}
    """
    found: dict[K, list[T]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found


def kind_of_run(record: Record) -> tuple[str, str, str, str | None]:
    """What the seeds of a recipe share: name, hash, kind of data, split."""
    return record["name"], record["recipe_hash"], record["data"]["kind"], record["data"].get("split")


def by_seed(records: Iterable[Record], value_of: Callable[[Record], T]) -> dict[int, T]:
    """Seed -> what a function says of the run; a run may be there twice.

    Raises:
        RecipeError: if a seed is there twice, with different results.
    """
    found: dict[int, T] = {}
    for record in records:
        value = value_of(record)
        if found.setdefault(record["seed"], value) != value:
            raise RecipeError(
                f"{record['name']} seed {record['seed']} is there twice, with different results: give only one of"
                " the two folders"
            )
    return found


def accuracies(records: Iterable[Record], select: str, at_steps: int | None = None) -> dict[int, float]:
    """Seed -> test accuracy in percent, of the selected epoch, with all steps or with the first `at_steps`.

    Raises:
        RecipeError: for a selection that a run lacks, or if a seed is there twice, with different results.
    """

    def accuracy(record: Record) -> float:
        result = record[select]
        if result is None:
            raise RecipeError(
                f"{record['name']} has no '{select}', since its split has no validation recordings: choose --select"
                " last or best_test"
            )
        return 100 * float(result["accuracy_by_step"][at_steps - 1] if at_steps else result["accuracy"])

    return by_seed(records, accuracy)


def by_step(record: Record, select: str) -> Curve:
    """Test accuracy in percent after the first 1, 2, .. T steps; empty for a selection that the run lacks."""
    result = record[select] or {}
    return {step: 100 * share for step, share in enumerate(result.get("accuracy_by_step") or (), 1)}


def differing(settings: Iterable[Mapping[str, Any]]) -> list[str]:
    """The keys in which some settings differ, sorted.

    Example:
        >>> differing([{"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}])
        ['b', 'c']
    """
    settings = list(settings)
    keys = sorted(set().union(*settings))
    return [key for key in keys if len({str(each.get(key)) for each in settings}) > 1]


def over_seeds(curves: Iterable[Curve]) -> list[Point]:
    """Mean and deviation where all seeds have a value.

    Example:
        >>> over_seeds([{1: 2.0, 2: 4.0}, {1: 4.0}])
        [Point(x=1, mean=3.0, std=1.4142135623730951, seeds=2)]
    """
    return [Point(place, mean, std or 0.0, n) for place, (mean, std), n in _at_each_place(curves, mean_std)]


def mean_curve(curves: Iterable[Curve]) -> Curve:
    """Mean where all seeds have a value.

    Example:
        >>> mean_curve([{1: 2.0, 2: 4.0}, {1: 4.0}])
        {1: 3.0}
    """
    return {place: mean for place, mean, _ in _at_each_place(curves, fmean)}


def _at_each_place(curves: Iterable[Curve], work_out: Callable[[list[float]], T]) -> Iterator[tuple[int, T, int]]:
    """Place, what a function says of the values of all seeds there, and n."""
    curves = list(curves)
    for place in sorted(set.intersection(*map(set, curves))) if curves else ():
        yield place, work_out([curve[place] for curve in curves]), len(curves)


def distinct(records: Iterable[Record]) -> list[Record]:
    """The records, a run that is there twice once."""
    return list({(*kind_of_run(record), record["seed"], record["finished"]): record for record in records}.values())


def group_runs(records: Iterable[Record]) -> list[Runs]:
    """Records by recipe, settings and data, in the order in which they come; of each group sorted by seed."""
    groups = grouped(records, kind_of_run)
    settings = {key: {**relevant(group[0]["recipe"]), "data.kind": key[2]} for key, group in groups.items()}
    runs = []
    for key, group in groups.items():
        same_name = [settings[other] for other in groups if other[0] == key[0]]
        words = [f"{one.partition('.')[2]}={settings[key].get(one)}" for one in differing(same_name)]
        if same_name.count(settings[key]) > 1:
            words.append(f"split={str(key[3])[:8]}")
        title = f"{key[0]}: {', '.join(words)}" if words else key[0]
        runs.append(Runs(key[0], title, tuple(sorted(group, key=lambda record: record["seed"])), ", ".join(words)))
    return runs


def by_title(records: Iterable[Record]) -> list[Runs]:
    """`group_runs`, sorted by title."""
    return sorted(group_runs(records), key=lambda group: group.title)
