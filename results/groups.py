"""Runs that differ only in their seed, as one line of a table or one point of a figure."""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean
from typing import Any, final

from results.reading import FinishedRun, Reading
from results.statistics import Summary, summarize
from results.variants import counted, describe
from runs.nearest import nearest

Choice = Collection[Any] | None  # None: all


@final
@dataclass(frozen=True)
class Group:
    """Runs with one config but for the seed.

    Attributes:
        settings: what it has that other runs of this task, model and method have not, as ``lr=0.0001``; mostly "".
        sparsity: the target.
        runs: one for each seed, ascending.
        training_flops: of these runs and those they start from, mean; None where one of them is not there.
        partial: whether the runs stop on their way, so that others can start from there.
    """

    task: str
    model: str
    method: str
    settings: str
    sparsity: float
    runs: Sequence[FinishedRun] = field(repr=False)
    training_flops: float | None = None
    partial: bool = False

    @property
    def label(self) -> str:
        """The method, and what sets it apart from others of its name."""
        return f"{self.method} ({self.settings})" if self.settings else self.method

    @property
    def dense(self) -> bool:
        return self.sparsity == 0

    @property
    def n(self) -> int:
        return len(self.runs)

    def values(self, metric: str) -> dict[int, float]:
        """A metric by seed, of the runs that have it."""
        return {run.seed: run.numbers[metric] for run in self.runs if metric in run.numbers}

    def summary(self, metric: str) -> Summary | None:
        """A metric over the seeds, or None where no run has it."""
        return self._summaries.get(metric)

    def mean(self, number: Callable[[FinishedRun], float]) -> float:
        return fmean(map(number, self.runs))

    @property
    def metrics(self) -> list[str]:
        """What any of the runs has, in the task's order."""
        return list(self._summaries)

    @cached_property
    def _summaries(self) -> dict[str, Summary]:
        names = dict.fromkeys(name for run in self.runs for name in run.numbers)
        return {name: summarize(list(self.values(name).values())) for name in names}


def grouped(reading: Reading) -> tuple[list[Group], list[str]]:
    """Returns the groups, sorted by task, model, method (dense ones first), settings and sparsity, and remarks.

    Where runs of a group have the same seed, because their data changed or their identity is computed otherwise than
    it was, the latest counts; a remark names them.
    """
    families: dict[tuple[str, str, str], dict[str, dict[float, list[FinishedRun]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for run in reading.runs.values():
        family = families[run.result["task"], run.result["model"], run.result["method"]]
        recipe = json.dumps(counted(run.config), sort_keys=True)
        family[recipe][float(run.result["sparsity"]["target"])].append(run)
    groups, remarks = [], []
    for names, recipes in families.items():
        members = list(recipes.values())
        examples = [next(iter(of_sparsity.values()))[0].config for of_sparsity in members]
        settings = describe(examples) if len(examples) > 1 else [""]
        for said, example, of_sparsity in zip(settings, examples, members, strict=True):
            for sparsity, runs in of_sparsity.items():
                chosen, passed_over = _one_a_seed(runs)
                remarks += passed_over
                flops = [value for run in chosen if (value := reading.training_flops(run)) is not None]
                mean = fmean(flops) if len(flops) == len(chosen) else None
                groups.append(Group(*names, said, sparsity, chosen, mean, example.get("stop_step") is not None))
    return sorted(groups, key=_order), remarks


def _order(group: Group) -> tuple[Any, ...]:
    return group.task, group.model, not group.dense, group.method, group.settings, group.sparsity


def _one_a_seed(runs: Iterable[FinishedRun]) -> tuple[list[FinishedRun], list[str]]:
    chosen: dict[int, FinishedRun] = {}
    remarks = []
    for run in runs:
        if (other := chosen.get(run.seed)) is not None:
            old, run = sorted((other, run), key=lambda one: (one.folder / "result.json").stat().st_mtime)
            remarks.append(f"{run.id} and {old.id} have one config: the later one, {run.id}, counts")
        chosen[run.seed] = run
    return [chosen[seed] for seed in sorted(chosen)], remarks


def selected(groups: Sequence[Group], **wanted: Choice) -> list[Group]:
    """Returns the groups whose attributes are among those wanted, as ``method=["gmp", "rigl"]``.

    Raises:
        ValueError: no group has one of them.
    """
    for name, values in wanted.items():
        there = {getattr(group, name) for group in groups}
        for value in values or ():
            if value not in there:
                raise ValueError(f"{name}={value} is not among the finished runs{nearest(str(value), map(str, there))}")
        groups = [group for group in groups if values is None or getattr(group, name) in values]
    if not groups:
        asked = ", ".join(f"{name}={','.join(map(str, values))}" for name, values in wanted.items() if values)
        raise ValueError(f"no finished run has all of {asked}")
    return list(groups)


def metrics_of(groups: Iterable[Group]) -> list[str]:
    """All metrics of some groups, in the tasks' order."""
    return list(dict.fromkeys(name for group in groups for name in group.metrics))


def main_metric(groups: Sequence[Group], wanted: Sequence[str] | None = None) -> str:
    """Returns what a task is judged by: the first of the wanted metrics that it has, or else its own.

    The first validation metric says which checkpoint is best; where it has been measured on the test split as well,
    that counts.
    """
    names = metrics_of(groups)
    for name in wanted or ():
        if name in names:
            return name
    first = next((name for name in names if name.startswith("val/")), names[0] if names else "")
    of_test = f"test/{first.partition('/')[2]}"
    return of_test if of_test in names else first
