"""Straight-through training in which pruned weights are drawn to zero."""

from typing import final

from torch import Tensor
from torch.nn import Parameter

from callbacks.sparsifier import Masks
from callbacks.straight_through import StraightThrough
from sparsity.budget import Budget
from sparsity.schedules import Schedule
from sparsity.scores import magnitude
from sparsity.straight_through import sr_ste


@final
class SrSte(StraightThrough):
    """Computes with the largest weights and trains all (SR-STE: Zhou et al. 2021, arXiv 2102.04010).

    The masks are chosen by the magnitude of the hidden values. The penalty is part of the gradient, as in the paper, so
    that Adam rescales it and clipping sees it.

    Args:
        budget: target sparsity, scope and distribution.
        strength: of the penalty on pruned weights (lambda); 0 = the plain straight-through estimator.
        schedule: maps the run's steps to {step: sparsity}.
        every: optimizer steps between two choices of the masks; the paper's is 1.
    """

    def __init__(self, budget: Budget, strength: float, schedule: Schedule, every: int) -> None:
        if strength < 0:
            raise ValueError(f"method.sparsifier.strength={strength} must be at least 0; the paper's is 2e-4")
        super().__init__(budget, schedule, every)
        self.strength = strength

    def update(self, step: int, value: float) -> Masks:
        return self.budget.masks(self.scoring.scores(magnitude, step), value)

    def gradient(self, name: str, weight: Parameter, gradient: Tensor) -> Tensor:
        return sr_ste(gradient, weight.detach(), self.masks[name], self.strength)
