"""Pruning by plan: one-shot before or after training and gradual pruning are one thing with different schedules."""

from typing import final

import torch

from callbacks.moments import Moments
from callbacks.scoring import Scoring
from callbacks.sparsifier import Masks, Plan, Sparsifier
from sparsity.budget import Budget
from sparsity.masks import zero_
from sparsity.memories import ScoreWithMemory
from sparsity.schedules import Schedule, geometric
from sparsity.scores import Score


@final
class Prune(Sparsifier):
    """Prunes the lowest scores to the plan's sparsity; what is pruned stays pruned, unless the plan goes back to 0.

    Args:
        budget: target sparsity, scope and distribution.
        score: importance of each weight; higher = keep. One that adjusts the kept weights does so at each pruning.
        schedule: maps the run's steps to {step: sparsity}.
        seed: of a random score.
        moments: what the optimizer remembers of weights that change; by default nothing.
        gradient_batches: training batches over which a score that needs gradients averages them, when the plan prunes
            before the first step, and from which a score that samples does always.
        rounds: each pruning is done in so many, with the density falling by the same factor in each, and the score
            is taken anew of what is left.
    """

    def __init__(
        self,
        budget: Budget,
        score: Score,
        schedule: Schedule,
        seed: int,
        moments: Moments | None = None,
        gradient_batches: int = 1,
        rounds: int = 1,
    ) -> None:
        if rounds < 1:
            raise ValueError(f"method.sparsifier.rounds={rounds} must be at least 1")
        super().__init__(budget, Scoring(seed, [score], gradient_batches), moments)
        self.score = score
        self.schedule = schedule
        self.rounds = rounds

    def make_plan(self, steps: int) -> Plan:
        return self.schedule.plan(steps, self.budget.sparsity)

    def first_masks(self) -> Masks:
        dense = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in self._weights.items()}
        return self._pruned(0, dense, self.plan[0]) if 0 in self.plan else dense

    def update(self, step: int, value: float) -> Masks:
        if value == 0:
            return {name: torch.ones_like(mask) for name, mask in self.masks.items()}
        return self._pruned(step, self.masks, value)

    def _pruned(self, step: int, masks: Masks, sparsity: float) -> Masks:
        """Returns the masks within these that leave the sparsity; the weights are adjusted and zeroed on the way."""
        earlier = max((at for at in self.plan if at < step), default=None)
        for goal in geometric(0.0 if earlier is None else self.plan[earlier], sparsity, self.rounds):
            inputs = self.scoring.inputs(self.score, step)
            scores = self.scoring.scores(self.score, step, inputs)
            masks = self.budget.masks(
                {name: scores[name].masked_fill(~mask, -torch.inf) for name, mask in masks.items()}, goal
            )
            with torch.no_grad():
                for name, weight in self._weights.items():
                    if isinstance(self.score, ScoreWithMemory):
                        weight.copy_(self.score.adjusted(weight.detach(), inputs["memory"][name], masks[name]))
                    zero_(weight, masks[name])
            del inputs  # which may be as large as 50 networks, and are made anew
        return masks

    def forward_passes(self, step: int) -> int:
        return self.rounds * self.scoring.forward_passes(self.score, step) if step in self.plan else 0
