"""Paired differences against scipy's own t-test and against all resamples, counted."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from braincog_tmkt.results.frame import bootstrap, paired

ACCURACY = st.floats(0, 100).map(lambda value: round(value, 2))


@given(st.lists(st.tuples(ACCURACY, ACCURACY), min_size=2, max_size=6))
@settings(max_examples=40, deadline=None)
def test_students_interval_is_scipys(pairs):
    ours, theirs = (dict(enumerate(side)) for side in zip(*pairs, strict=True))
    result = paired(ours, theirs)
    differences = np.subtract(list(ours.values()), list(theirs.values()))
    if np.ptp(differences) > 1e-9:
        truth = stats.ttest_rel(list(ours.values()), list(theirs.values())).confidence_interval(0.95)
        assert (result.t_low, result.t_high) == pytest.approx((truth.low, truth.high))
    assert result.mean == pytest.approx(differences.mean())
    assert result.low <= result.mean + 1e-9
    assert result.mean - 1e-9 <= result.high
    assert differences.min() - 1e-9 <= result.low
    assert result.high <= differences.max() + 1e-9


@pytest.mark.parametrize("count", [2, 3, 5, 12])
def test_the_bootstrap_interval_is_scipys(count):
    for seed in range(5):
        values = np.random.default_rng(seed).normal(size=count).tolist()
        rng = np.random.default_rng(0)
        truth = stats.bootstrap((values,), np.mean, method="percentile", rng=rng).confidence_interval
        assert bootstrap(values) == pytest.approx((truth.low, truth.high), rel=1e-12)


def test_the_bootstrap_interval_is_that_of_all_resamples():
    values = [1.0, 3.0, 2.0, 0.5]
    means = [np.mean(chosen) for chosen in product(values, repeat=4)]
    assert bootstrap(values) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.13)


def test_only_common_seeds_count_and_the_verdict_is_one_of_three():
    assert paired({1: 50.0}, {2: 40.0}) is None
    one = paired({1: 50.0, 9: 0.0}, {1: 40.0, 2: 3.0})
    assert (one.mean, one.seeds, one.low, one.t_low, one.verdict) == (10.0, 1, None, None, "open")
    base = {1: 10.0, 2: 20.0, 3: 30.0}
    better = {1: 15.0, 2: 25.1, 3: 34.9}
    assert (paired(better, base).verdict, paired(base, better).verdict) == ("higher", "lower")
    assert paired({1: 11.0, 2: 19.0, 3: 30.5}, base).verdict == "open"
    equal = paired({1: 11.0, 2: 21.0, 3: 31.0}, base)  # no spread: nothing says how sure the mean is
    assert (*equal[2:], equal.verdict) == (1.0, 1.0, None, None, "open")


def test_equal_differences_are_equal_though_floats_are_not():
    ours, theirs = ({1: 100 * (one / 400), 2: 100 * (two / 400)} for one, two in ((120, 232), (108, 220)))
    assert ours[1] - theirs[1] != ours[2] - theirs[2]
    assert paired(ours, theirs).verdict == "open"


def test_three_seeds_of_one_sign_are_not_enough_for_students_interval_though_the_bootstrap_leaves_0_out():
    result = paired({1: 1.0, 2: 2.0, 3: 6.0}, {1: 0.0, 2: 0.0, 3: 0.0})
    assert result.low > 0
    assert result.verdict == "open"
