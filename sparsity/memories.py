"""Scores that look back: a tensor remembers past gradients, made by a pure function of one gradient at a time."""

from abc import ABC, abstractmethod
from typing import final

from torch import Tensor


class ScoreWithMemory(ABC):
    """A score whose inputs `weight` and `memory` are of one tensor, higher = keep."""

    @abstractmethod
    def accumulate(self, memory: Tensor | None, weight: Tensor, gradient: Tensor) -> Tensor:
        """Returns the memory after one more gradient; it may be the same tensor, changed in place.

        Args:
            memory: what was returned before, None at first.
            weight: when the gradient was taken.
            gradient: of the loss, dense, shaped like the weight.
        """

    @abstractmethod
    def __call__(self, weight: Tensor, memory: Tensor) -> Tensor:
        """Returns the scores, shaped like the weight."""

    def adjusted(self, weight: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """Returns the values that the kept weights should have once the others are zero: the same ones, by default."""
        return weight


class Running(ScoreWithMemory):
    """Remembers the gradients of training, step by step; before training, those of some batches in evaluation mode."""

    since_update: bool = False  # whether an update of the masks starts a new memory


class Sampled(ScoreWithMemory):
    """Takes the gradients of some batches anew, in evaluation mode, whenever it is asked."""


@final
class Momentum(Running):
    """The magnitude of the exponential mean of gradients (Dettmers & Zettlemoyer 2019, arXiv 1907.04840, section 3).

    Args:
        decay: share of the old mean that stays at a step, in [0, 1).
    """

    def __init__(self, decay: float = 0.9) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay} of a momentum score must be at least 0 and below 1, such as 0.9")
        self.decay = decay

    def accumulate(self, memory: Tensor | None, weight: Tensor, gradient: Tensor) -> Tensor:
        if memory is None:
            return gradient * (1 - self.decay)
        return memory.mul_(self.decay).add_(gradient, alpha=1 - self.decay)

    def __call__(self, weight: Tensor, memory: Tensor) -> Tensor:
        return memory.abs()
