"""Checks the constructor calls of a config against the source code, without importing it.

Importing torch and transformers costs seconds; a misspelt argument is found by reading the signature from the syntax
tree. Only our own packages are read; for a library, its constructor answers when it is called.
"""

import ast
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from runs.nearest import nearest

OURS = ("callbacks", "models", "runs", "sparsity", "tasks")
SPECIAL = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}


class Call:
    """A config node with a ``_target_``; used as a type in schemas."""


@dataclass(frozen=True)
class Signature:
    """Argument names of a callable, and whether it takes any others."""

    names: tuple[str, ...]
    open: bool


def check_calls(node: Any, key: str = "") -> None:
    """Checks every call below `node`.

    Raises:
        ValueError: a ``_target_`` of ours does not exist or is given an argument that it does not have.
    """
    if isinstance(node, Mapping):
        target = node.get("_target_")
        if isinstance(target, str) and target.split(".")[0] in OURS:
            _check_call(target, node, key)
        for name, child in node.items():
            check_calls(child, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list | tuple):
        for index, child in enumerate(node):
            check_calls(child, f"{key}[{index}]")


def _check_call(target: str, node: Mapping[str, Any], key: str) -> None:
    module, _, name = target.rpartition(".")
    try:
        spec = importlib.util.find_spec(module)
    except (ModuleNotFoundError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        raise ValueError(f"{key}._target_={target}: there is no module {module}")
    definitions = _signatures(Path(spec.origin))
    if name not in definitions:
        raise ValueError(f"{key}._target_={target}: {module} has no '{name}'{nearest(name, definitions)}")
    signature = definitions[name]
    if signature is None:
        return
    for argument in node.keys() - SPECIAL:
        if argument not in signature.names and not signature.open:
            raise ValueError(f"unknown key '{key}.{argument}'{nearest(argument, signature.names)}")


@cache
def _signatures(path: Path) -> dict[str, Signature | None]:
    """Signatures of the functions and classes of a file; None where a base class decides."""
    tree = ast.parse(path.read_text())
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    found: dict[str, Signature | None] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = _of_function(node, skip=0)
        elif isinstance(node, ast.ClassDef):
            found[node.name] = _of_class(node, classes)
    return found


def _of_class(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> Signature | None:
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            return _of_function(statement, skip=1)
    bases = [classes.get(base.id) for base in node.bases if isinstance(base, ast.Name)]
    inherited = [_of_class(base, classes) for base in bases if base is not None and base is not node]
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        own = [s.target.id for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)]
        return Signature((*own, *(name for base in inherited if base for name in base.names)), open=False)
    if inherited:
        return inherited[0]
    return None if node.bases else Signature((), open=False)


def _of_function(node: ast.FunctionDef, skip: int) -> Signature:
    arguments = [*[*node.args.posonlyargs, *node.args.args][skip:], *node.args.kwonlyargs]
    return Signature(tuple(argument.arg for argument in arguments), open=node.args.kwarg is not None)
