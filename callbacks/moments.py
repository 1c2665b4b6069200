"""What an optimizer remembers of weights that are dropped and grown: Adam's moments, SGD's momentum and the like."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, final

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from sparsity.masks import zero_


class Moments(ABC):
    """A policy for optimizer state; the state of weights that are kept throughout is never touched."""

    # Whether state of pruned weights may be other than zero, so that steps move them and they have to be zeroed again.
    dirty: bool = False

    @abstractmethod
    def change(self, optimizer: Optimizer, name: str, weight: Parameter, old: Tensor, new: Tensor) -> None:
        """Brings the state of one weight tensor from the old mask to the new one, in place."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint has to keep: tensors in plain containers."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes back what `state_dict` returned."""
        assert not state


@final
class Zero(Moments):
    """Dropped weights are forgotten, newborn ones start with nothing, as in a fresh optimizer except its step count."""

    def change(self, optimizer: Optimizer, name: str, weight: Parameter, old: Tensor, new: Tensor) -> None:
        for _, value in tensors(optimizer, weight):
            zero_(value, old & new)


@final
class Keep(Moments):
    """Nothing is touched, as in much published code: gradients of pruned weights reach the optimizer, newborn weights
    start with moments of them, and what is pruned is moved at every step and put back to zero."""

    dirty = True

    def change(self, optimizer: Optimizer, name: str, weight: Parameter, old: Tensor, new: Tensor) -> None:
        pass


@final
class Remember(Moments):
    """A dropped weight's state is set aside and given back if it grows again; who grows first starts with nothing."""

    def __init__(self) -> None:
        self._aside: dict[str, dict[str, Tensor]] = {}

    def change(self, optimizer: Optimizer, name: str, weight: Parameter, old: Tensor, new: Tensor) -> None:
        aside = self._aside.setdefault(name, {})
        for key, value in tensors(optimizer, weight):
            stored = aside[key] = aside[key].to(value.device) if key in aside else torch.zeros_like(value)
            torch.where(old & ~new, value, stored, out=stored)
            torch.where(new & ~old, stored, value, out=value)
            zero_(value, new)

    def state_dict(self) -> dict[str, Any]:
        return {name: {key: value.cpu() for key, value in aside.items()} for name, aside in self._aside.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._aside = {name: dict(aside) for name, aside in state.items()}


def tensors(optimizer: Optimizer, weight: Parameter) -> Iterator[tuple[str, Tensor]]:
    """What an optimizer remembers of each place of a weight, by name."""
    for key, value in optimizer.state.get(weight, {}).items():
        if isinstance(value, Tensor) and value.shape == weight.shape:
            yield key, value
