"""When masks change: a schedule maps the run's optimizer-step count to a plan {step: value}.

An entry at step t is executed when t optimizer steps have been taken, before step t's own update; 0 is before training.
Steps ascend and are below the step count, since an entry at the count itself would never be reached. Fractions of
training are rounded down to steps.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from typing import final

Plan = dict[int, float]


class Schedule(ABC):
    """A rule that is the same for runs of any length."""

    @abstractmethod
    def plan(self, total_steps: int, value: float) -> Plan:
        """Returns {step: value}, in ascending order of steps.

        Args:
            total_steps: optimizer steps of the run.
            value: the target sparsity, which the plan's last entry has exactly; of Cosine the initial drop fraction.

        Raises:
            ValueError: if no entry fits into the run, or the value is out of range.
        """


@final
@dataclass(frozen=True)
class Once(Schedule):
    """One-shot pruning.

    Args:
        at: when, as a fraction of training; 0 is before training and works without any step.
    """

    at: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.at < 1:
            raise ValueError(f"schedule.at={self.at} must be at least 0 and below 1, a fraction of training")

    def plan(self, total_steps: int, value: float) -> Plan:
        _check_sparsity(value)
        if self.at > 0:
            _check_steps(total_steps)
        return {_step(self.at, total_steps): float(value)}


@final
@dataclass(frozen=True)
class Cubic(Schedule):
    """Gradual pruning from sparsity 0 (Zhu & Gupta 2017, arXiv 1710.01878, eq. 1), fast at first and slow at the end.

    Args:
        begin: first update, as a fraction of training.
        end: last update, as a fraction of training; it takes place even where `every` does not lead to it.
        every: steps between updates.
        first: share of the target that the first update reaches at once; 0 in the paper.
    """

    begin: float
    end: float
    every: int
    first: float = 0.0

    def __post_init__(self) -> None:
        _check_window(self.begin, self.end)
        _check_every(self.every)
        if not 0 <= self.first <= 1:
            raise ValueError(f"schedule.first={self.first} must be at least 0 and at most 1, a share of the target")

    def plan(self, total_steps: int, value: float) -> Plan:
        _check_sparsity(value)
        _check_steps(total_steps)
        begin, end = _step(self.begin, total_steps), _step(self.end, total_steps)
        left = {step: (1 - (step - begin) / (end - begin)) ** 3 for step in range(begin, end, self.every)}
        return {step: value * (1 - (1 - self.first) * cube) for step, cube in left.items()} | {end: float(value)}


@final
@dataclass(frozen=True)
class Staircase(Schedule):
    """Gradual pruning in equal stairs: update i of n reaches i/n of the target.

    Args:
        begin: first update, as a fraction of training.
        end: last update, as a fraction of training.
        levels: number of updates, at least 2, evenly spaced.
    """

    begin: float
    end: float
    levels: int

    def __post_init__(self) -> None:
        _check_window(self.begin, self.end)
        if self.levels < 2:
            raise ValueError(f"schedule.levels={self.levels} must be at least 2; for a single update take Once")

    def plan(self, total_steps: int, value: float) -> Plan:
        _check_sparsity(value)
        _check_steps(total_steps)
        begin, end = _step(self.begin, total_steps), _step(self.end, total_steps)
        if end - begin + 1 < self.levels:
            raise ValueError(
                f"no room for schedule.levels={self.levels} updates between steps {begin} and {end} of {total_steps}"
                f"; use levels <= {end - begin + 1} or train for more steps"
            )
        steps = [begin + (end - begin) * level // (self.levels - 1) for level in range(self.levels)]
        return {step: value * level / self.levels for level, step in enumerate(steps, 1)} | {end: float(value)}


@final
@dataclass(frozen=True)
class Alternating(Schedule):
    """Sparse and dense phases by turns, the last one sparse (AC/DC, Peste et al. 2021, arXiv 2106.12379, section 3).

    The last dense phase is longer than the others where these do not fill the window.

    Args:
        begin: first sparse phase, as a fraction of training; dense before.
        end: last sparse phase, as a fraction of training; it lasts to the end.
        every: steps of each phase in between.
    """

    begin: float
    end: float
    every: int

    def __post_init__(self) -> None:
        _check_window(self.begin, self.end)
        _check_every(self.every)

    def plan(self, total_steps: int, value: float) -> Plan:
        _check_sparsity(value)
        _check_steps(total_steps)
        begin, end = _step(self.begin, total_steps), _step(self.end, total_steps)
        turns = (end - begin) // self.every // 2 * 2
        if turns == 0:
            remedy = f"use every <= {(end - begin) // 2}" if end - begin > 1 else "train for more steps"
            raise ValueError(
                f"no dense phase fits: schedule.every={self.every} between steps {begin} and {end} of {total_steps};"
                f" {remedy}"
            )
        values = {begin + turn * self.every: 0.0 if turn % 2 else float(value) for turn in range(turns)}
        return values | {end: float(value)}


@final
@dataclass(frozen=True)
class Cosine(Schedule):
    """The drop fraction of dynamic sparse training, annealed to 0 (Evci et al. 2020, arXiv 1911.11134, section 3).

    Args:
        every: steps between updates, the first of them at step `every`.
        end: fraction of training at which the fraction reaches 0; there is no update from there on.
        closed: whether there is one more update at the end itself, of fraction 0.
    """

    every: int
    end: float
    closed: bool = False

    def __post_init__(self) -> None:
        _check_every(self.every)
        if not 0 < self.end <= 1:
            raise ValueError(f"schedule.end={self.end} must be above 0 and at most 1, a fraction of training")
        if self.closed and self.end == 1:
            raise ValueError("schedule.end=1 leaves no step for the update of schedule.closed=true; use end=0.75")

    def plan(self, total_steps: int, value: float) -> Plan:
        if not 0 < value <= 1:
            raise ValueError(f"the drop fraction {value} must be above 0 and at most 1")
        end = _step(self.end, total_steps)
        plan = {step: value / 2 * (1 + math.cos(math.pi * step / end)) for step in range(self.every, end, self.every)}
        plan = {step: fraction for step, fraction in plan.items() if fraction > 0}
        if not plan:
            remedy = f"use every <= {end - 1}" if end > 1 else "train for more steps"
            raise ValueError(
                f"no update fits: schedule.every={self.every} with end at step {end} of {total_steps}; {remedy}"
            )
        return plan | {end: 0.0} if self.closed else plan


def _step(fraction: float, total_steps: int) -> int:
    """Returns the step at a fraction of training, read as the decimal number it is written as: 0.29 of 100 is 29."""
    return math.floor(Fraction(repr(float(fraction))) * total_steps)


def _check_sparsity(value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"sparsity={value} must be at least 0 and below 1, such as 0.8")


def _check_steps(total_steps: int) -> None:
    if total_steps < 1:
        raise ValueError(f"steps={total_steps} leaves no step to prune at; train for at least 1, or take Once(at=0)")


def _check_window(begin: float, end: float) -> None:
    if not 0 <= begin <= end < 1:
        raise ValueError(f"schedule.begin={begin} and schedule.end={end} must satisfy 0 <= begin <= end < 1")


def _check_every(every: int) -> None:
    if every < 1:
        raise ValueError(f"schedule.every={every} must be at least 1 optimizer step")


def geometric(begin: float, end: float, rounds: int) -> list[float]:
    """Returns the sparsities of so many rounds of pruning, after each of which the density has fallen by one factor.

    With 100 of them from 0, those of SynFlow (Tanaka et al. 2020, arXiv 2006.05467, algorithm 1).
    """
    factor = (1 - end) / (1 - begin)
    return [1 - (1 - begin) * factor ** (r / rounds) for r in range(1, rounds)] + [end]
