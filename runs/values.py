"""Whether a value of a config has one of the types that a schema or a signature allows."""

from collections.abc import Collection, Mapping
from types import NoneType
from typing import Any


class Call:
    """A config node with a ``_target_``; used as a type in schemas."""


WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a mapping",
    Call: "a constructor call with a _target_",
}


def check_value(key: str, value: Any, kinds: Collection[type]) -> None:
    """Checks a value; a whole number counts as a number, a truth value does not. No kinds allow everything.

    Raises:
        ValueError: the value has none of the types.
    """
    if kinds and not any(_is(value, kind) for kind in kinds):
        words = " or ".join(WORDS[kind] for kind in kinds if kind is not NoneType)
        raise ValueError(f"{key}={value} must be {words}")


def _is(value: Any, kind: type) -> bool:
    if kind is Call:
        return isinstance(value, Mapping) and "_target_" in value
    if kind in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, (int, float) if kind is float else kind)
