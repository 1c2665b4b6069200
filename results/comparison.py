"""Two methods compared on the same seeds, sparsity by sparsity."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from results.groups import Group
from results.statistics import Paired, paired


@final
@dataclass(frozen=True)
class Comparison:
    """Two groups of one task and model on the seeds that both have; `outcome` is of the first less the second."""

    first: Group
    second: Group
    metric: str
    outcome: Paired

    @property
    def cells(self) -> dict[str, str]:
        """A row for people."""
        outcome = self.outcome
        between = "" if outcome.low is None else f"[{outcome.low:+.4f}, {outcome.high:+.4f}]"
        return {
            "task": self.first.task,
            "model": self.first.model,
            "first": self.first.label,
            "second": self.second.label,
            "sparsity": f"{max(self.first.sparsity, self.second.sparsity):.4g}",
            "metric": self.metric,
            "pairs": str(outcome.n),
            "difference": f"{outcome.mean:+.4f}",
            "95 %": between,
            "t-test p": "" if outcome.t_p is None else f"{outcome.t_p:.2g}",
            "Wilcoxon p": "" if outcome.wilcoxon_p is None else f"{outcome.wilcoxon_p:.2g}",
            "": outcome.why,
        }


def compare(groups: Sequence[Group], methods: tuple[str, str], metric: str) -> tuple[list[Comparison], list[str]]:
    """Compares two methods wherever both are there, a dense one with every sparsity of the other.

    Settings have to be the same, unless each method has one only. P-values are of one comparison each and are not
    corrected for their number.

    Returns:
        comparisons, and sentences about what could not be compared.
    """
    first, second = ([group for group in groups if group.method == method] for method in methods)
    found, missed = [], []
    for one in first:
        for other in second:
            if (one.task, one.model) != (other.task, other.model):
                continue
            if not (one.dense or other.dense or one.sparsity == other.sparsity):
                continue
            if one.settings != other.settings and not (_alone(one, first) and _alone(other, second)):
                continue
            try:
                outcome = paired(one.values(metric), other.values(metric))
            except ValueError as error:
                missed.append(f"{_named(one)} and {_named(other)} are not compared by {metric}: {error}")
            else:
                found.append(Comparison(one, other, metric, outcome))
    if not found and not missed:
        missed.append(f"{methods[0]} and {methods[1]} share no task, model, sparsity and settings to be compared at")
    return found, missed


def _alone(group: Group, others: Sequence[Group]) -> bool:
    settings = {other.settings for other in others if (other.task, other.model) == (group.task, group.model)}
    return settings == {group.settings}


def _named(group: Group) -> str:
    return f"{group.task} {group.model} {group.label} at {group.sparsity:g}"
