"""Numbers over seeds by hand, and against scipy."""

import math

import pytest
from scipy import stats

from results.statistics import paired, summarize

VALUES = [0.70, 0.74, 0.72]


def test_three_seeds_by_hand():
    """Mean .72; squared deviations .0004, .0004 and 0 over 2; t(2) at 97.5 % is 4.302653 (any table)."""
    summary = summarize(VALUES)
    assert (summary.n, summary.max) == (3, 0.74)
    assert summary.mean == pytest.approx(0.72)
    assert summary.std == pytest.approx(0.02)
    assert summary.high - summary.mean == pytest.approx(4.302653 * 0.02 / math.sqrt(3), rel=1e-6)
    assert summary.mean - summary.low == pytest.approx(summary.high - summary.mean)


def test_the_interval_is_scipys():
    low, high = stats.t.interval(0.95, 2, loc=stats.tmean(VALUES), scale=stats.sem(VALUES))
    assert (summarize(VALUES).low, summarize(VALUES).high) == pytest.approx((low, high))


def test_one_seed_has_no_spread():
    summary = summarize([0.5])
    assert (summary.n, summary.mean, summary.max) == (1, 0.5, 0.5)
    assert summary.std is summary.low is summary.high is None


def test_pairs_by_hand_and_as_scipy_tests_them():
    """Differences .1, .2, .3: mean .2, std .1, t = .2 / (.1 / sqrt 3); seed 4 has no partner."""
    first, second = {1: 0.6, 2: 0.8, 3: 0.7, 4: 0.9}, {1: 0.5, 2: 0.6, 3: 0.4}
    outcome = paired(first, second)
    assert outcome.n == 3
    assert outcome.mean == pytest.approx(0.2)
    assert outcome.high - outcome.mean == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-6)
    assert outcome.t_p == pytest.approx(stats.ttest_rel([0.6, 0.8, 0.7], [0.5, 0.6, 0.4]).pvalue)
    assert outcome.t_p == pytest.approx(0.0742, abs=1e-4)
    assert outcome.wilcoxon_p is None
    assert "3 pairs that differ cannot come below 0.05, 6 can" in outcome.why


def test_six_pairs_that_all_point_one_way_have_the_smallest_p_of_wilcoxon():
    first = {seed: 0.5 + 0.01 * seed for seed in range(1, 7)}
    outcome = paired(first, dict.fromkeys(first, 0.5))
    assert outcome.wilcoxon_p == pytest.approx(2 / 2**6)
    assert outcome.why == ""


def test_pairs_without_a_difference_do_not_count_for_wilcoxon():
    first = {seed: 0.5 + 0.01 * max(seed - 1, 0) for seed in range(1, 7)}
    assert "5 pairs that differ" in paired(first, dict.fromkeys(first, 0.5)).why


def test_one_pair_is_shown_and_not_tested():
    outcome = paired({1: 0.6}, {1: 0.5, 2: 0.5})
    assert (outcome.n, outcome.mean) == (1, pytest.approx(0.1))
    assert outcome.t_p is outcome.wilcoxon_p is outcome.low is None
    assert "one pair" in outcome.why


def test_equal_differences_are_shown_and_not_tested():
    outcome = paired({1: 0.6, 2: 0.7, 3: 0.8}, {1: 0.5, 2: 0.6, 3: 0.7})
    assert outcome.t_p is None
    assert "no spread" in outcome.why


def test_equal_values_are_shown_and_not_tested():
    assert "no spread" in paired({1: 0.6, 2: 0.7}, {1: 0.6, 2: 0.7}).why


def test_illegal_pairs_without_a_common_seed():
    with pytest.raises(ValueError, match="no seed in common"):
        paired({1: 0.6}, {2: 0.6})
