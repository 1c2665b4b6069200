"""What a sweep would train, said before it does."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from runs.folder import Run
from runs.graph import Graph, closure, missing
from runs.settings import training_steps


def forecast(whole: Graph, asked: Sequence[Run]) -> str:
    """Returns what would be trained, what is there, and what the same would cost run by run, as lines.

    Run by run means that each run that is asked for is trained with all that it starts from, sharing nothing.
    """
    steps = {name: training(job.run) for name, job in whole.items()}
    absent = missing(whole, asked)
    alone = [name for run in {run.id: run for run in asked}.values() for name in closure(whole, run)]
    lines = [
        f"to train: {_amount(steps[name] for name in absent)}; there already: {len(whole) - len(absent)}",
        f"run by run: {_amount(steps[name] for name in alone)}",
    ]
    return "\n".join([*lines, *_table(whole, absent)])


def _table(whole: Graph, absent: Graph) -> list[str]:
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name, job in whole.items():
        groups[tuple(job.run.labels.values())].append(name)
    rows = [
        (*labels, f"{len(names)} runs", f"{sum(name in absent for name in names)} to train")
        for labels, names in groups.items()
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _amount(steps: Iterable[int]) -> str:
    each = list(steps)
    return f"{len(each)} runs, {sum(each):,} optimizer steps"


def training(run: Run) -> int:
    """Returns the optimizer steps of a run; where epochs end it, the training data is read for that."""
    config = run.config
    steps = training_steps(config, _examples(config) if config.steps is None else 0)
    return steps if config.stop_step is None else int(config.stop_step)


def _examples(config: DictConfig) -> int:
    nodes: Any = OmegaConf.to_container(config, resolve=True)
    return sum(_read(json.dumps(node)) for node in (nodes["task"]["data"], *nodes["ood"].values()))


@cache
def _read(node: str) -> int:
    """Training rows of a data node, which many runs share."""
    return len(instantiate(json.loads(node), _convert_="all").get("train", ()))
