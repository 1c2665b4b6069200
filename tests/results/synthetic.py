"""Run folders as a sweep leaves them, without training: real configs (of dense, gmp or rigl) and invented numbers."""

import copy
import hashlib
import json
import math
import random
import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from tests.conftest import composed

METHODS = ("lth", "magnitude_after", "random_after", "gmp", "magnitude_before", "magnitude_rigl", "snip", "rigl")
SPARSITIES = tuple(round(1 - 0.8**level, 10) for level in range(1, 11))
MATRICES = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
FFN = ("intermediate.dense", "output.dense")


@cache
def _config(method: str) -> Any:
    sparse = [] if method == "dense" else ["sparsity=0.5"]
    return OmegaConf.to_container(composed(f"method={method}", *sparse), resolve=True)


def config(method: str, sparsity: float, seed: int, root: Path, task: str, **changes: Any) -> dict[str, Any]:
    """A resolved config; `changes` are of its top level, but for `lr`, which the optimizer has as well."""
    node = copy.deepcopy(_config(method if method in ("dense", "rigl") else "gmp"))
    node |= {"seed": seed, "sparsity": sparsity, "root": str(root)} | changes
    node["task"]["name"], node["method"]["name"] = task, method
    node["budget"]["sparsity"] = sparsity
    sparsifier = node["method"]["sparsifier"]
    if method != "dense":
        sparsifier["seed"], sparsifier["budget"]["sparsity"] = seed, sparsity
    node["optim"]["optimizer"]["lr"] = node["lr"]
    return node


def write_run(
    root: Path,
    method: str,
    sparsity: float,
    seed: int,
    metrics: dict[str, float | None],
    task: str = "little_world_qa",
    started_from: str | None = None,
    flops: float = 1e15,
    curves: dict[str, dict[int, float]] | None = None,
    tensors: list[dict[str, Any]] | None = None,
    numbers: dict[str, float] | None = None,
    **changes: Any,
) -> Path:
    """Writes the folder of a finished run and returns it."""
    node = config(method, sparsity, seed, root, task, **changes)
    text = yaml.dump(node, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False)
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    folder = root / f"{re.sub(r'[^A-Za-z0-9_.]+', '_', task)}-tiny-{method}-s{sparsity:.4g}-seed{seed}-{digest}"
    folder.mkdir(parents=True)
    result = {
        "status": "completed",
        **{"task": task, "model": "tiny", "method": method, "seed": seed, "started_from": started_from},
        "versions": {},
        "sparsity": {"target": sparsity, "scope": sparsity, "model": sparsity / 2},
        **(numbers or {}),
        "metrics": metrics,
        **{"steps": 100, "examples_per_second": 500.0, "seconds": 20.0},
        "flops": {"train": flops, "inference": 1e9 * (1 - sparsity / 2), "dense_inference": 1e9},
    }
    (folder / "config.yaml").write_text(text)
    (folder / "result.json").write_text(json.dumps(result, indent=2))
    if curves:
        lines = [f"{step},{name},{value}" for name, curve in curves.items() for step, value in curve.items()]
        (folder / "metrics.csv").write_text("\n".join(["step,metric,value", *lines, ""]))
    if tensors:
        (folder / "ledger.json").write_text(json.dumps({"tensors": tensors}))
    return folder


def sweep(
    root: Path,
    methods: tuple[str, ...] = METHODS,
    sparsities: tuple[float, ...] = SPARSITIES,
    seeds: int = 3,
    tasks: tuple[str, ...] = ("little_world_qa",),
    files: bool = True,
) -> int:
    """Writes methods x sparsities x seeds and dense runs, with curves and ledgers if `files`, and returns how many."""
    draw, count = random.Random(0), 0
    for task in tasks:
        for seed in range(1, seeds + 1):
            points = [("dense", 0.0), *((method, sparsity) for method in methods for sparsity in sparsities)]
            for method, sparsity in points:
                strength = 2.5 - 0.25 * (methods.index(method) if sparsity else 0)  # a method endures so much
                quality = 1 / (1 + math.exp(4 * (-math.log(1 - sparsity) - strength)))
                accuracy = 0.2 + 0.58 * quality + draw.gauss(0, 0.008)
                dynamic = "rigl" in method
                write_run(
                    root,
                    method,
                    sparsity,
                    seed,
                    {
                        "val/accuracy": accuracy + draw.gauss(0, 0.005),
                        "val/loss": 2 - accuracy,
                        "test/accuracy": accuracy,
                        "ood/hans/accuracy": 0.5 + 0.25 * quality**2 + draw.gauss(0, 0.01),
                        "ood/paws_qqp/accuracy": 0.3 + 0.3 * quality**3 + draw.gauss(0, 0.01),
                    },
                    task,
                    flops=1e15 * (1 - 0.6 * sparsity if dynamic else 1 + 0.5 * sparsity),
                    curves=_curves(quality, dynamic, draw) if files else None,
                    tensors=_tensors(sparsity, draw) if files else None,
                    numbers={"explored": 1 - sparsity**2, "survival": 0.4} if dynamic else None,
                )
                count += 1
    return count


def _curves(quality: float, dynamic: bool, draw: random.Random) -> dict[str, dict[int, float]]:
    floor = 1.6 - 1.3 * quality
    train = {step: floor + (1.6 - floor) * math.exp(-step / 600) + draw.gauss(0, 0.03) for step in range(49, 3000, 50)}
    val = {step: value + 0.05 for step, value in train.items() if step % 300 == 299}
    grown = {step: 0.6 - 0.4 * step / 3000 + draw.gauss(0, 0.02) for step in range(200, 2300, 100)}
    return {"train/loss": train, "val/loss": val} | ({"survival": grown} if dynamic else {})


def _tensors(sparsity: float, draw: random.Random) -> list[dict[str, Any]]:
    found = []
    for layer in range(12):
        for name in (*MATRICES, *FFN):
            kept = (1 - sparsity) ** (1.2 if name in FFN else 0.8 + layer / 30) + draw.gauss(0, 0.01)
            numel = 64 * 64
            found.append(
                {
                    "name": f"bert.encoder.layer.{layer}.{name}.weight",
                    "numel": numel,
                    "kept": int(numel * min(max(kept, 0), 1)),
                }
            )
    return found
