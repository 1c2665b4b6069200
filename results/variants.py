"""In what runs of one label differ, besides their seeds.

Runs are averaged only where everything that can change their numbers is the same; see :mod:`runs.identity`.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from runs.identity import HASHED, PLACES

CONF = Path(__file__).parent.parent / "conf"
BESIDE = {"seed", "sparsity", "root", "logger", "checkpoint_every"}  # axes of their own, and what changes no number

Flat = dict[str, Any]


def counted(config: Mapping[str, Any]) -> Flat:
    """Returns the leaves of a config, by dotted path, that can change numbers: all but seed, sparsity and places."""
    nodes = {key: config.get(key) for key in HASHED if key not in BESIDE}
    return _without_axes(nodes, config.get("seed"))


def describe(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns for each config what it has that others have not, as ``lr=0.0001, scope=ffn``; "" where nothing differs.

    Of several keys that differ alike, as optim.optimizer.lr and lr, the shortest is named. Nodes that are files of a
    group are called by their names.
    """
    parts = [counted(config) for config in configs]
    wholes = [
        _without_axes({key: node for key, node in config.items() if key not in BESIDE}, config.get("seed"))
        for config in configs
    ]
    alike: dict[str, list[str]] = {}
    for path in _paths(wholes):
        alike.setdefault(_vector(wholes, path), []).append(path)
    different = {_vector(parts, path) for path in _paths(parts)}
    chosen = [
        min(paths, key=lambda path: (path.count("."), len(path), path))
        for vector, paths in alike.items()
        if vector in different and len(set(json.loads(vector))) > 1
    ]
    chosen = [path for path in chosen if not _implied(path, chosen, wholes)]
    words: list[dict[str, None]] = [{} for _ in configs]  # ordered sets
    for path in sorted(chosen):
        group = path.partition(".")[0]
        options = [_option(group, json.dumps(config.get(group), sort_keys=True)) for config in configs]
        for number, (option, whole) in enumerate(zip(options, wholes, strict=True)):
            if all(options):
                words[number][f"{group}={option}"] = None
            elif whole.get(path) is not None:
                words[number][_said(path, whole[path], chosen)] = None
    return [", ".join(said) for said in words]


def _paths(flats: Sequence[Flat]) -> list[str]:
    return list(dict.fromkeys(path for flat in flats for path in flat))


def _implied(path: str, chosen: Sequence[str], flats: Sequence[Flat]) -> bool:
    """Whether a value follows from what is called there: the options of a constructor that others do not call."""
    parents = path.split(".")[:-1]
    targets = {".".join([*parents[:length], "_target_"]) for length in range(1, len(parents) + 1)} - {path}
    for target in targets.intersection(chosen):
        pairs = {(json.dumps(flat.get(target)), json.dumps(flat.get(path))) for flat in flats}
        if len({called for called, _ in pairs}) == len(pairs):
            return True
    return False


def _vector(flats: Sequence[Flat], path: str) -> str:
    """The values of all configs at a path, comparable."""
    return json.dumps([json.dumps(flat.get(path)) for flat in flats])


def _without_axes(nodes: Mapping[str, Any], seed: Any) -> Flat:
    flat: Flat = {}
    for key, node in nodes.items():
        if isinstance(node, Mapping):
            node = {name: value for name, value in node.items() if name not in PLACES.get(key, ())}
        for path, value in _leaves(node, key):
            parts = path.split(".")
            of_seed = parts[-1] == "seed" and value == seed and key != "task"
            if not (of_seed or parts[-2:] == ["budget", "sparsity"]):
                flat[path] = int(value) if isinstance(value, float) and value.is_integer() else value
    return flat


def _leaves(node: Any, path: str) -> list[tuple[str, Any]]:
    if isinstance(node, Mapping):
        return [leaf for key, child in node.items() for leaf in _leaves(child, f"{path}.{key}")]
    return [(path, node)]


def _said(path: str, value: Any, others: Sequence[str]) -> str:
    """A key by the shortest end that no other differing key has, and its value."""
    if path.endswith("._target_"):
        return f"{path.split('.')[-2]}={str(value).rpartition('.')[2]}"
    parts = path.split(".")
    ends = (".".join(parts[-length:]) for length in range(1, len(parts) + 1))
    short = next(end for end in ends if sum(f".{other}".endswith(f".{end}") for other in others) == 1)
    return f"{short}={value:g}" if isinstance(value, float) else f"{short}={json.dumps(value).strip(chr(34))}"


@cache
def _option(group: str, node: str) -> str | None:
    """The file of a group that has this content."""
    for path in sorted((CONF / group).glob("**/*.yaml")):
        if json.dumps(yaml.safe_load(path.read_text()), sort_keys=True) == node:
            return str(path.relative_to(CONF / group).with_suffix(""))
    return None
