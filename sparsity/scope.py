"""Which weight tensors may be zeroed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import final

from torch import nn


@final
@dataclass(frozen=True)
class Scope:
    """The tensors whose names match a pattern of `include` and none of `exclude`.

    Patterns are regular expressions, searched for anywhere in the names of `network.named_parameters()`; tied weights
    bear their first name. Tensors of fewer than two dimensions (biases, LayerNorms) are never in scope, whatever the
    patterns say.

    Raises:
        ValueError: for patterns that are no regular expressions, or an empty `include`.
    """

    include: Sequence[str]
    exclude: Sequence[str] = ()

    def __post_init__(self) -> None:
        for field in ("include", "exclude"):
            patterns = getattr(self, field)
            if isinstance(patterns, str):
                raise ValueError(f"scope.{field} must be a list of regular expressions, such as ['{patterns}']")
            object.__setattr__(self, field, tuple(patterns))
            for pattern in patterns:
                if not isinstance(pattern, str):
                    raise ValueError(f"scope.{field} has {pattern!r}, which is not text")
                try:
                    re.compile(pattern)
                except re.error as error:
                    raise ValueError(f"scope.{field} has an invalid regular expression '{pattern}': {error}") from error
        if not self.include:
            raise ValueError("scope.include is empty; give at least one regular expression, such as '\\.weight$'")

    def select(self, network: nn.Module) -> dict[str, nn.Parameter]:
        """Returns the parameters in scope, by name and in the order of the model.

        Raises:
            ValueError: if a pattern of `include` matches no parameter, or nothing is left.
        """
        names = dict(network.named_parameters())
        for pattern in self.include:
            if not any(re.search(pattern, name) for name in names):
                raise ValueError(f"scope.include '{pattern}' matches no parameter of the model{_near(pattern, names)}")
        selected = {name: weight for name, weight in names.items() if weight.dim() >= 2 and self._matches(name)}
        if not selected:
            hint = _near(self.include[0], {name: weight for name, weight in names.items() if weight.dim() >= 2})
            raise ValueError(
                f"no weight tensor is in scope: include={list(self.include)}, exclude={list(self.exclude)}{hint}"
            )
        return selected

    def _matches(self, name: str) -> bool:
        included = any(re.search(pattern, name) for pattern in self.include)
        return included and not any(re.search(pattern, name) for pattern in self.exclude)


def _near(pattern: str, names: dict[str, nn.Parameter]) -> str:
    """Names one parameter of the model, the most similar to what the pattern spells."""
    spelt = re.sub(r"\\[bBAZdDwWsS]|[\\^$()*+?{}\[\]|]", "", pattern)
    near = get_close_matches(spelt, names, n=1, cutoff=0.0)
    return f"; the nearest parameter is {near[0]}" if near else "; the model has no weight tensor"
