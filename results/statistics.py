"""Numbers over seeds: mean, spread, interval, and what two methods differ by on the same seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import final

from scipy.special import stdtrit

CONFIDENCE = 0.95
FEWEST_RANKED = 6  # pairs from which Wilcoxon's test can fall below 0.05 on two sides: 2 / 2**6


@final
@dataclass(frozen=True)
class Summary:
    """A metric over the seeds of a group.

    Attributes:
        std: with n - 1; None for one value.
        low, high: the 95 % interval of the mean by Student's t; None for one value.
        max: the best seed's where higher is better, as Numenta reports GLUE.
    """

    n: int
    mean: float
    std: float | None
    low: float | None
    high: float | None
    max: float


def summarize(values: Sequence[float]) -> Summary:
    """Summarizes at least one value."""
    n, mean = len(values), fmean(values)
    if n == 1:
        return Summary(1, mean, None, None, None, mean)
    std = stdev(values)
    half = interval(n, std)
    return Summary(n, mean, std, mean - half, mean + half, max(values))


def interval(n: int, std: float) -> float:
    """Half the width of the 95 % interval of a mean of n values: t(n - 1) * std / sqrt(n)."""
    return float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * std / math.sqrt(n)


@final
@dataclass(frozen=True)
class Paired:
    """What one method has more than another on the same seeds.

    Attributes:
        n: pairs.
        mean: of the differences, first less second.
        low, high: its 95 % interval; None for fewer than two pairs.
        t_p, wilcoxon_p: two-sided p-values; None where `why` says why there is none.
        why: what the pairs do not allow.
    """

    n: int
    mean: float
    low: float | None
    high: float | None
    t_p: float | None
    wilcoxon_p: float | None
    why: str


def paired(first: Mapping[int, float], second: Mapping[int, float]) -> Paired:
    """Compares two methods by their values per seed; seeds that only one of them has are left out.

    Raises:
        ValueError: they have no seed in common.
    """
    from scipy import stats  # takes a second, and most reports compare nothing

    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        raise ValueError("no seed in common")
    differences = [first[seed] - second[seed] for seed in seeds]
    n, mean = len(seeds), fmean(differences)
    if n < 2:
        return Paired(n, mean, None, None, None, None, "one pair says nothing of chance; two are needed for a t-test")
    half = interval(n, stdev(differences))
    if max(differences) - min(differences) <= 1e-9 * abs(mean):
        return Paired(n, mean, mean, mean, None, None, "all differences are the same: there is no spread to test")
    t_p = float(stats.ttest_1samp(differences, 0.0).pvalue)
    wilcoxon_p, why = None, ""
    ranked = sum(difference != 0 for difference in differences)
    if ranked >= FEWEST_RANKED:
        wilcoxon_p = float(stats.wilcoxon(differences).pvalue)
    else:
        why = f"no Wilcoxon: {ranked} pairs that differ cannot come below 0.05, {FEWEST_RANKED} can"
    return Paired(n, mean, mean - half, mean + half, t_p, wilcoxon_p, why)
