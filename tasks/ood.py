"""Data sets of another distribution than the task's, evaluated beside validation."""

from collections.abc import Mapping, Sequence
from typing import Any


def joined(
    data: Mapping[str, Sequence[Any]], sets: Mapping[str, Mapping[str, Sequence[Any]]]
) -> dict[str, Sequence[Any]]:
    """The splits of a task and, as "ood/<name>", the "test" split of each further set.

    A "train" split of such a set is trained on behind the task's own: not what out-of-distribution means, but the bound
    that debiasing is compared with (SRNets, Liu et al. 2022, arXiv 2210.05211).

    Raises:
        ValueError: a set has another split, or no test split.
    """
    splits = dict(data)
    for name, rows in sets.items():
        if unknown := sorted(rows.keys() - {"train", "test"}):
            raise ValueError(f"ood.{name}.names.{unknown[0]} has no use here; there are test and train")
        if not rows.get("test"):
            raise ValueError(f"ood.{name}.names.test is missing: name the file that is evaluated")
        splits[f"ood/{name}"] = rows["test"]
        if more := rows.get("train"):
            splits["train"] = [*splits.get("train", ()), *more]
    return splits
