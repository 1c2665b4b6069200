"""The identity of a run: a hash of everything that can change its numbers, and of nothing else.

Where things lie, which logger listens and which device computes are left out; the content of local data and model files
counts instead of their paths. Top-level keys count through the nodes that refer to them, so that, say, the scope is
part of the identity of a pruned run and not of a dense one.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

HASHED = (
    *("task", "ood", "model", "method", "optim", "loss", "tuning", "trainer"),
    *("seed", "batch_size", "steps", "epochs", "stop_step", "validations"),
)
HASHED_IF_SET = ("collapse",)  # runs that do not know the key keep their names
PLACES = {"trainer": {"accelerator", "devices", "num_nodes", "profiler"}}


def identity(config: DictConfig) -> str:
    """Returns ten hexadecimal digits that name the numbers a config leads to.

    Raises:
        FileNotFoundError: `task.data_dir` or that of an out-of-distribution set does not exist.
    """
    resolved: Any = OmegaConf.to_container(config, resolve=True)
    counted = {key: _without(resolved[key], PLACES.get(key, set())) for key in HASHED}
    counted |= {key: resolved[key] for key in HASHED_IF_SET if resolved[key] is not None}
    sources = {"task": resolved["task"], **{f"ood.{name}": source for name, source in resolved["ood"].items()}}
    for key, source in sources.items():
        if data_dir := source.get("data_dir"):
            if not os.path.isdir(os.path.expanduser(data_dir)):
                raise FileNotFoundError(f"{key}.data_dir={data_dir} is not a folder")
            counted = _replace(counted, data_dir, folder_digest(os.path.expanduser(data_dir), resolved["root"]))
    for key in ("name", "tokenizer"):
        name = resolved["model"].get(key)
        if name and os.path.isdir(os.path.expanduser(name)):
            counted = _replace(counted, name, folder_digest(os.path.expanduser(name)))
    counted["loss"] = _by_content(counted["loss"])
    text = json.dumps(_plain(counted), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def run_id(config: DictConfig) -> str:
    """Returns the folder name of a run: what it is for people, and its identity for certainty."""
    parts = [
        _slug(config.task.name),
        _slug(model_label(config.model.name)),
        _slug(config.method.name),
        f"s{config.sparsity:.4g}",
        f"seed{config.seed}",
        identity(config),
    ]
    return "-".join(parts)


def model_label(name: str) -> str:
    """Returns what a model is called, for people: the end of its name, or the run that a folder `model` belongs to."""
    path = Path(name)
    return path.parent.name if path.name == "model" and path.parent.name else path.name


@cache
def folder_digest(folder: str, root: str = "") -> str:
    """Returns a digest of the names and contents of all files in a folder, what is hidden left out.

    Of a single file, that of its content. `root`, where runs are written, is left out too, so that no run changes the
    identity of the next.
    """
    digest, top = hashlib.sha256(), Path(folder)
    for path in sorted(_files(top, Path(root).resolve() if root else None)) if top.is_dir() else [top]:
        digest.update(str(path.relative_to(top)).encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"sha256:{digest.hexdigest()}"


def _files(folder: Path, root: Path | None) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_file():
            yield path
        elif path.is_dir() and path.resolve() != root:
            yield from _files(path, root)


def _without(node: Any, left_out: set[str]) -> Any:
    return {k: v for k, v in node.items() if k not in left_out} if isinstance(node, Mapping) else node


def _replace(node: Any, old: str, new: str) -> Any:
    if isinstance(node, Mapping):
        return {key: _replace(value, old, new) for key, value in node.items()}
    if isinstance(node, list):
        return [_replace(value, old, new) for value in node]
    return new if node == old else node


def _by_content(node: Any) -> Any:
    """The same node with the digests of the files and folders that it names."""
    if isinstance(node, Mapping):
        return {key: _by_content(value) for key, value in node.items()}
    path = os.path.expanduser(node) if isinstance(node, str) else ""
    return folder_digest(path) if os.path.exists(path) else node


def _plain(node: Any) -> Any:
    """The same numbers written the same way: 1.0 is 1."""
    if isinstance(node, Mapping):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    return int(node) if isinstance(node, float) and node.is_integer() else node


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]+", "_", name).strip("_")
