"""Scores that look back: a tensor remembers past gradients, made by a pure function of one gradient at a time."""

from abc import ABC, abstractmethod
from typing import final

from torch import Tensor


class ScoreWithMemory(ABC):
    """A score whose inputs `weight` and `memory` are of one tensor, higher = keep."""

    @abstractmethod
    def __call__(self, weight: Tensor, memory: Tensor) -> Tensor:
        """Returns the scores, shaped like the weight."""

    def adjusted(self, weight: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """Returns the values that the kept weights should have once the others are zero: the same ones, by default."""
        return weight


class Running(ScoreWithMemory, ABC):
    """Remembers the gradients of training, step by step; before training, those of some batches in evaluation mode."""

    since_update: bool = False  # whether an update of the masks starts a new memory

    @abstractmethod
    def accumulate(self, memory: Tensor | None, weight: Tensor, gradient: Tensor) -> Tensor:
        """Returns the memory after one more gradient; it may be the same tensor, changed in place.

        Args:
            memory: what was returned before, None at first.
            weight: when the gradient was taken.
            gradient: of the loss, dense, shaped like the weight.
        """


class Sampled(ScoreWithMemory, ABC):
    """Takes the gradients of some batches anew, in evaluation mode, whenever it is asked."""

    @abstractmethod
    def accumulate(self, memory: Tensor | None, weight: Tensor, gradient: Tensor, share: float) -> Tensor:
        """Returns the memory after one more gradient, as `Running.accumulate` does.

        Args:
            share: of this gradient in a mean over the sample: 1 / number of batches.
        """


@final
class Movement(Running):
    """-sum of w * dL/dw over the steps so far (Sanh et al. 2020, arXiv 2005.07683, section 4, without the learning rate
    of the scores): high where training moved a weight away from zero.

    The weights are those that the gradient was taken at. The paper lets pruned weights come back; a method that prunes
    for good does not, and then their movement is zero, because they are.
    """

    def accumulate(self, memory: Tensor | None, weight: Tensor, gradient: Tensor) -> Tensor:
        return -weight * gradient if memory is None else memory.addcmul_(weight, gradient, value=-1)

    def __call__(self, weight: Tensor, memory: Tensor) -> Tensor:
        return memory


class Window(Running, ABC):
    """Remembers the sum of the gradients since the last update, which ranks as their mean over that window does."""

    since_update = True

    def accumulate(self, memory: Tensor | None, weight: Tensor, gradient: Tensor) -> Tensor:
        return gradient.clone() if memory is None else memory.add_(gradient)


@final
class MeanGradient(Window):
    """|sum of dL/dw| over the steps since the last update.

    For growth, instead of the gradient of one step. Gradients are summed before the absolute value, so that noise
    cancels.
    """

    def __call__(self, weight: Tensor, memory: Tensor) -> Tensor:
        return memory.abs()


@final
class MeanSaliency(Window):
    """|w * sum of dL/dw| over the steps since the last update: SNIP's saliency over a window instead of one step."""

    def __call__(self, weight: Tensor, memory: Tensor) -> Tensor:
        return (weight * memory).abs()


@final
class Fisher(Sampled):
    """0.5 * w^2 * (damping + mean of (dL/dw)^2): the loss that removing a weight costs to second order, with the
    diagonal of the empirical Fisher for the Hessian (Kurtic et al. 2022, arXiv 2203.07259, eq. 4, block size 1).

    The mean is over gradients of whole batches.
    """

    def __init__(self, damping: float = 1e-7) -> None:
        check_damping(damping)
        self.damping = damping

    def accumulate(self, memory: Tensor | None, weight: Tensor, gradient: Tensor, share: float) -> Tensor:
        if memory is None:
            return gradient.square() * share
        return memory.addcmul_(gradient, gradient, value=share)

    def __call__(self, weight: Tensor, memory: Tensor) -> Tensor:
        return (memory + self.damping).mul_(weight.detach().square()).mul_(0.5)


def check_damping(damping: float) -> None:
    """Refuses what leaves weights without gradient without curvature."""
    if not 0 < damping < float("inf"):
        raise ValueError(f"score.damping={damping} must be positive, such as 1e-7")


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
