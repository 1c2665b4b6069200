"""Pruning by plan: one-shot before or after training and gradual pruning are one thing with different schedules."""

from typing import final

import torch

from callbacks.moments import Moments
from callbacks.sparsifier import Masks, Plan, Sparsifier
from sparsity.budget import Budget
from sparsity.schedules import Schedule
from sparsity.scores import FROM_GRADIENTS, Score, needs


@final
class Prune(Sparsifier):
    """Prunes the lowest scores to the plan's sparsity; what is pruned stays pruned, unless the plan goes back to 0.

    Args:
        budget: target sparsity, scope and distribution.
        score: importance of each weight; higher = keep.
        schedule: maps the run's steps to {step: sparsity}.
        seed: of a random score.
        moments: what the optimizer remembers of weights that change; by default nothing.
        gradient_batches: training batches over which a score that needs gradients averages them, when the plan prunes
            before the first step.
    """

    def __init__(
        self,
        budget: Budget,
        score: Score,
        schedule: Schedule,
        seed: int,
        moments: Moments | None = None,
        gradient_batches: int = 1,
    ) -> None:
        super().__init__(budget, seed, moments, [score], gradient_batches)
        self.budget = budget
        self.score = score
        self.schedule = schedule

    def make_plan(self, steps: int) -> Plan:
        return self.schedule.plan(steps, self.budget.sparsity)

    def first_masks(self) -> Masks:
        if 0 not in self.plan:
            return {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in self._weights.items()}
        return self.budget.masks(self.scores(self.score, 0), self.plan[0])

    def update(self, step: int, value: float) -> Masks:
        scores = self.scores(self.score, step)
        return self.budget.masks(
            {name: scores[name].masked_fill(~mask, -torch.inf) for name, mask in self.masks.items()}, value
        )

    @property
    def batches_before_training(self) -> int:
        return self.gradient_batches if 0 in self.plan and FROM_GRADIENTS & needs(self.score) else 0
