"""Pruning by plan: one-shot before or after training and gradual pruning are one thing with different schedules."""

from typing import final

import torch
from lightning.pytorch import LightningModule, Trainer

from callbacks.gradients import batch_gradients
from callbacks.sparsifier import Masks, Plan, Sparsifier
from sparsity.budget import Budget
from sparsity.schedules import Schedule
from sparsity.scores import Score, needs


@final
class Prune(Sparsifier):
    """Prunes the lowest scores to the plan's sparsity; what is pruned stays pruned.

    Args:
        budget: target sparsity, scope and distribution.
        score: importance of each weight; higher = keep.
        schedule: maps the run's steps to {step: sparsity}.
        seed: of a random score.
        gradient_batches: training batches over which a score that needs gradients averages them, when the plan prunes
            before the first step.
    """

    def __init__(self, budget: Budget, score: Score, schedule: Schedule, seed: int, gradient_batches: int = 1) -> None:
        super().__init__(budget, seed)
        self.budget = budget
        self.score = score
        self.schedule = schedule
        self.gradient_batches = gradient_batches

    def make_plan(self, steps: int) -> Plan:
        return self.schedule.plan(steps, self.budget.sparsity)

    def first_masks(self, trainer: Trainer, module: LightningModule) -> Masks:
        if 0 not in self.plan:
            return {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in self._weights.items()}
        gradients = None
        if self.batches_before_training:
            gradients = batch_gradients(trainer, module, self._weights, self.gradient_batches)
        return self.budget.masks(self.scores(self.score, 0, gradients), self.plan[0])

    def update(self, step: int, value: float) -> Masks:
        scores = self.scores(self.score, step)
        return self.budget.masks(
            {name: scores[name].masked_fill(~mask, -torch.inf) for name, mask in self.masks.items()}, value
        )

    @property
    def batches_before_training(self) -> int:
        return self.gradient_batches if 0 in self.plan and "gradient" in needs(self.score) else 0
