"""Is one better than the other? Differences of runs with the same seed, and how sure they are."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean, stdev
from typing import NamedTuple

import numpy as np
from scipy.stats import bootstrap
from scipy.stats import t as student


class Paired(NamedTuple):
    """The mean difference over the seeds that two sets of runs have in common; percentage points.

    Args:
        mean: mean of ours - theirs.
        seeds: n.
        low: lower end of the 95 % percentile bootstrap interval of the mean (9,999 resamples of the seeds); None for
            one seed. With few seeds it is too narrow: for 3 it is about the range of the three differences, which holds
            the true mean 3 times out of 4.
        high: its upper end.
        t_low: lower end of Student's 95 % interval, which `verdict` goes by: right for few seeds, too, if the
            differences are about normal; None for one seed, or differences that are all the same.
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
        """`higher` or `lower` if Student's interval leaves 0 out, `open` if not, or where there is none."""
        if self.t_low is None or self.t_high is None or self.t_low <= 0 <= self.t_high:
            return "open"
        return "higher" if self.mean > 0 else "lower"


def paired(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Paired | None:
    """Compare accuracies by seed; None without a common seed.

    Example:
        >>> result = paired({1: 81.0, 2: 85.0, 3: 86.0}, {1: 80.0, 2: 82.0, 3: 84.0})
        >>> round(result.mean, 2), round(result.t_low, 2), round(result.t_high, 2), result.verdict
        (2.0, -0.48, 4.48, 'open')
    """
    # Rounded: equal differences of shares come out unequal in the last digits, and would look like a spread.
    differences = [round(ours[seed] - theirs[seed], 9) for seed in sorted(ours.keys() & theirs.keys())]
    if not differences:
        return None
    mean, count = fmean(differences), len(differences)
    if count == 1:
        return Paired(mean, 1, None, None, None, None)
    low, high = _bootstrap(differences)
    if len(set(differences)) == 1:  # no spread to judge the mean by: two seeds can agree by chance
        return Paired(mean, count, mean, mean, None, None)
    reach = float(student.ppf(0.975, count - 1)) * stdev(differences) / count**0.5
    return Paired(mean, count, low, high, mean - reach, mean + reach)


def _bootstrap(differences: list[float]) -> tuple[float, float]:
    result = bootstrap((differences,), np.mean, method="percentile", rng=np.random.default_rng(0))
    return float(result.confidence_interval.low), float(result.confidence_interval.high)
