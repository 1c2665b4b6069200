"""Finished runs as they lie in their folders, and what there is beside them: failed, unfinished and damaged ones."""

import csv
import json
import math
import os
import re
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, final

import yaml

from runs.result import written

Curve = dict[int, float]
OF_METHODS = ("explored", "survival")  # what dynamic methods say beside their metrics


@final
@dataclass(frozen=True)
class FinishedRun:
    """A completed run.

    Attributes:
        folder: where it lies.
        result: its result.json.
        config: its config.yaml; nodes are shared between runs and must not be changed.
    """

    folder: Path
    result: Mapping[str, Any] = field(repr=False)
    config: Mapping[str, Any] = field(repr=False)

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def seed(self) -> int:
        return int(self.result["seed"])

    @cached_property
    def numbers(self) -> dict[str, float]:
        """Metrics that have a value, in the task's order, and the numbers of dynamic methods."""
        found = self.result["metrics"] | {name: self.result.get(name) for name in OF_METHODS}
        return {name: float(value) for name, value in found.items() if value is not None and math.isfinite(value)}

    @cached_property
    def curves(self) -> dict[str, Curve]:
        """The lines of metrics.csv by metric and step; none where the file is missing or damaged."""
        path, found = self.folder / "metrics.csv", defaultdict[str, Curve](dict)
        try:
            with path.open(newline="") as file:
                lines = csv.reader(file)
                next(lines, None)
                for step, metric, value in lines:
                    found[metric][int(step)] = float(value)
        except (OSError, ValueError) as error:
            _say(f"{path} is left out of the curves: {_reason(error)}")
            return {}
        return dict(found)

    @cached_property
    def ledger(self) -> list[dict[str, Any]]:
        """The tensors in scope with `name`, `numel` and `kept`; none where ledger.json is missing or damaged."""
        path = self.folder / "ledger.json"
        try:
            return [
                {"name": str(tensor["name"]), "numel": int(tensor["numel"]), "kept": int(tensor["kept"])}
                for tensor in json.loads(path.read_text())["tensors"]
            ]
        except (OSError, ValueError, KeyError, TypeError) as error:
            _say(f"{path} is left out of the heat maps: {_reason(error)}")
            return []


@final
@dataclass
class Reading:
    """What lies below a root.

    Attributes:
        runs: the finished ones by id.
        failed: ids of failed runs with their errors.
        unfinished: ids of runs that are going on, or were interrupted.
        damaged: sentences about folders that say nothing.
    """

    runs: dict[str, FinishedRun] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    def training_flops(self, run: FinishedRun) -> float | None:
        """Operations of a run's training and of those it starts from, or None where one of these is not there."""
        chain = [run]
        while (origin := chain[-1].result["started_from"]) is not None:
            if origin not in self.runs or self.runs[origin] in chain:
                return None
            chain.append(self.runs[origin])
        return math.fsum(one.result["flops"]["train"] for one in chain)


def read(root: Path) -> Reading:
    """Reads the results and configs below a root; the order is that of the folders' names.

    Raises:
        ValueError: the root is not a folder.
    """
    if not root.is_dir():
        raise ValueError(f"root={root} is not a folder; python train.py makes it, root=<folder> names another")
    reading = Reading()
    with os.scandir(root) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    for name in names:
        folder = root / name
        try:
            result = written(folder)
            if result is None:
                if (folder / "config.yaml").exists():
                    reading.unfinished.append(name)
            elif result["status"] == "failed":
                reading.failed[name] = str(result.get("error", "")).partition("\n")[0]
            else:
                reading.runs[name] = FinishedRun(folder, _checked(result, folder), config(folder / "config.yaml"))
        except ValueError as error:
            reading.damaged.append(str(error))
    return reading


def _checked(result: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The result of a completed run, all of whose parts have been seen to be there."""
    try:
        float(result["sparsity"]["target"]), int(result["seed"]), result["started_from"]
        flops = [result["flops"][name] for name in ("train", "inference", "dense_inference")]
        if not all(isinstance(value, int | float) for value in flops):
            raise TypeError
        if not all(value is None or isinstance(value, int | float) for value in result["metrics"].values()):
            raise TypeError
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ValueError(f"{folder / 'result.json'} is not a result; delete it to run this again") from None
    return result


def config(path: Path) -> dict[str, Any]:
    """Reads a resolved config.

    Most of its top-level nodes are the same in thousands of runs, so that each distinct text is parsed once.

    Raises:
        ValueError: the file is missing or not a config.
    """
    try:
        return {
            key: node for text in re.split(r"^(?=[^\s-])", path.read_text(), flags=re.M) for key, node in _node(text)
        }
    except (OSError, yaml.YAMLError, AttributeError) as error:
        raise ValueError(f"{path} is not a config: {_reason(error)}") from None


@cache
def _node(text: str) -> list[tuple[str, Any]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return list((yaml.load(text, Loader=loader) or {}).items())


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError):
        return str(error.strerror)
    return " ".join(f"{type(error).__name__} {error}".split())


@cache
def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)
