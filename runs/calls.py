"""Checks the constructor calls of a config against the source code, without importing it.

Importing torch and transformers costs seconds; an argument that is misspelt, missing or of the wrong type is found by
reading the signature from the syntax tree. Only our own packages are read; for a library, its constructor answers when
it is called.
"""

import ast
import importlib.util
from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any

from runs.nearest import nearest
from runs.values import Call, check_value

OURS = ("callbacks", "models", "results", "runs", "sparsity", "tasks")
SPECIAL = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}


KINDS: dict[str, type] = {
    **{"bool": bool, "int": int, "float": float, "str": str, "Path": str},
    **dict.fromkeys(("list", "tuple", "Sequence", "Iterable", "Collection"), list),
    **dict.fromkeys(("dict", "Mapping"), dict),
}


@dataclass(frozen=True)
class Argument:
    """What an argument of a callable may be, with no kinds for anything, and whether it has to be given."""

    kinds: tuple[type, ...]
    required: bool


@dataclass(frozen=True)
class Signature:
    """Arguments of a callable by name, and whether it takes any others."""

    arguments: Mapping[str, Argument]
    open: bool


def check_calls(node: Any, given: Set[str] = frozenset(), key: str = "") -> None:
    """Checks every call below `node`.

    Args:
        given: arguments that the program adds to those of the config.

    Raises:
        ValueError: a ``_target_`` of ours does not exist, or is given an argument that it does not have or that has
            another type, or is not given one that it needs.
    """
    if isinstance(node, Mapping):
        target = node.get("_target_")
        if isinstance(target, str) and target.split(".")[0] in OURS:
            _check_call(target, node, given, key)
        for name, child in node.items():
            check_calls(child, given, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list | tuple):
        for index, child in enumerate(node):
            check_calls(child, given, f"{key}[{index}]")


def _check_call(target: str, node: Mapping[str, Any], given: Set[str], key: str) -> None:
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
        if argument not in signature.arguments and not signature.open:
            raise ValueError(f"unknown key '{key}.{argument}'{nearest(argument, signature.arguments)}")
    for argument, expected in signature.arguments.items():
        if argument in node:
            check_value(f"{key}.{argument}", node[argument], expected.kinds)
        elif expected.required and not node.get("_partial_") and argument not in given:
            raise ValueError(f"'{key}.{argument}' is missing: give +{key}.{argument}=<value>")


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
        arguments = {name: argument for base in inherited if base for name, argument in base.arguments.items()}
        for s in node.body:
            if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name):
                arguments[s.target.id] = Argument(_kinds(s.annotation), required=s.value is None)
        return Signature(arguments, open=False)
    if inherited:
        return inherited[0]
    return None if node.bases else Signature({}, open=False)


def _of_function(node: ast.FunctionDef, skip: int) -> Signature:
    positional = [*node.args.posonlyargs, *node.args.args]
    first = len(positional) - len(node.args.defaults)  # with a default
    arguments = {
        a.arg: Argument(_kinds(a.annotation), required=i < first) for i, a in enumerate(positional) if i >= skip
    }
    for a, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        arguments[a.arg] = Argument(_kinds(a.annotation), required=default is None)
    return Signature(arguments, open=node.args.kwarg is not None)


def _kinds(annotation: ast.expr | None) -> tuple[type, ...]:
    """The types that an annotation allows; those of a class or a protocol come from a call. () = cannot be told."""
    match annotation:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            kinds = _kinds(left), _kinds(right)
            return kinds[0] + kinds[1] if all(kinds) else ()
        case ast.Constant(value=None):
            return (NoneType,)
        case ast.Name(id=name) | ast.Subscript(value=ast.Name(id=name)):
            return (KINDS[name],) if name in KINDS else (Call,) if name != "Any" and name[0].isupper() else ()
        case _:
            return ()
