"""Top-KAST: compute with the largest weights, train some more."""

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from callbacks.moments import Moments
from callbacks.sparsifier import Masks
from callbacks.straight_through import StraightThrough
from sparsity.budget import Budget
from sparsity.ledger import counts
from sparsity.masks import pack
from sparsity.schedules import Schedule
from sparsity.scores import magnitude
from sparsity.straight_through import explored


@final
class TopKast(StraightThrough):
    """Computes with the largest weights (set A) and trains a superset (set B) of the next largest ones, too.

    Jayakumar et al. 2021, arXiv 2106.03517, section 2. Weights outside B stay exactly as they are, weight decay
    included, and the optimizer remembers nothing of them. The exploration penalty is read as an L2 penalty, whose
    gradient is linear in the weight; outside A it is larger by one over the density of A in the tensor, or where that
    is empty, in the scope.

    Args:
        budget: sparsity of A, scope and distribution.
        explored: share of the weights outside A that are in B; 0 = none, 1 = everything is trained.
        strength: of the exploration penalty.
        schedule: maps the run's steps to {step: sparsity of A}.
        every: optimizer steps between two choices of A and B.
        moments: what the optimizer remembers of weights that leave and enter B; by default nothing.
    """

    def __init__(
        self,
        budget: Budget,
        explored: float,
        strength: float,
        schedule: Schedule,
        every: int,
        moments: Moments | None = None,
    ) -> None:
        if not 0 <= explored <= 1:
            raise ValueError(f"method.sparsifier.explored={explored} must be at least 0 and at most 1")
        if strength < 0:
            raise ValueError(f"method.sparsifier.strength={strength} must be at least 0; 0 = no exploration penalty")
        super().__init__(budget, schedule, every, moments=moments)
        self.explored = explored
        self.strength = strength
        self._superset: Masks = {}
        self._trained: dict[str, float] = {}

    @property
    def active(self) -> Masks:
        return self._superset

    @property
    def descending(self) -> Masks:
        return self._superset

    def looks_at_dense_gradient(self, step: int) -> bool:
        return False

    def gradient_densities(self, step: int) -> Mapping[str, float]:
        return self._trained

    def update(self, step: int, value: float) -> Masks:
        scores = self.scoring.scores(magnitude, step)
        superset = self.budget.masks(scores, value * (1 - self.explored))
        self._widen(superset)
        return self.budget.masks(scores, value)

    def gradient(self, name: str, weight: Parameter, gradient: Tensor) -> Tensor:
        density = self.densities[name] or 1 - self.sparsity
        return explored(gradient, weight.detach(), self.masks[name], self._superset[name], density, self.strength)

    def _after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        for name, weight in self._weights.items():
            torch.where(self._superset[name], weight.detach(), self._values[name], out=weight.detach())
        super()._after_step(optimizer, args, kwargs)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "superset": {n: pack(mask).cpu() for n, mask in self._superset.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self._widen(self._unpacked(state["superset"]))

    def _widen(self, superset: Masks) -> None:
        self._superset = superset
        self._trained = {name: count / superset[name].numel() for name, count in counts(superset).items()}
