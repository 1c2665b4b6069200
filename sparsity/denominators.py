"""What a sparsity is a fraction of."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from torch import Tensor, nn


class Denominator(ABC):
    """Which weights count."""

    @abstractmethod
    def outside(self, network: nn.Module, scope: Mapping[str, Tensor]) -> int:
        """Returns how many weights count although they are not in scope, and so stay."""


@final
@dataclass(frozen=True)
class OfScope(Denominator):
    """The weights in scope."""

    def outside(self, network: nn.Module, scope: Mapping[str, Tensor]) -> int:
        return 0


@final
@dataclass(frozen=True)
class OfModel(Denominator):
    """All parameters of the model, tied ones once: what is out of scope is dense and makes the scope sparser."""

    def outside(self, network: nn.Module, scope: Mapping[str, Tensor]) -> int:
        return sum(p.numel() for p in network.parameters()) - sum(weight.numel() for weight in scope.values())
