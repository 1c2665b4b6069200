"""Pruning by plan: one-shot before or after training and gradual pruning are one thing with different schedules."""

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from callbacks.moments import Moments
from callbacks.scoring import Scoring
from callbacks.sparsifier import Masks, Plan, Sparsifier
from callbacks.trained import trained
from sparsity.budget import Budget
from sparsity.inherited import inherited
from sparsity.ledger import counts
from sparsity.masks import pack, unpack, zero_
from sparsity.memories import ScoreWithMemory
from sparsity.schedules import Schedule, geometric
from sparsity.scores import Score


@final
class Prune(Sparsifier):
    """Prunes the lowest scores to the plan's sparsity; what is pruned stays pruned, unless the plan goes back to 0.

    The zeros of weights that come sparse stay zero: there the sparsity is never below theirs.

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
        self._inherited: Masks = {}

    def make_plan(self, steps: int) -> Plan:
        return self.schedule.plan(steps, self.budget.sparsity)

    def first_masks(self) -> Masks:
        found = inherited(trained(self._module).network)
        self._inherited = {name: mask for name, mask in found.items() if name in self._weights}
        self._check_inherited()
        dense = self._within({n: torch.ones_like(weight, dtype=torch.bool) for n, weight in self._weights.items()})
        return self._pruned(0, dense, self.plan[0]) if 0 in self.plan else dense

    def update(self, step: int, value: float) -> Masks:
        if value == 0:
            return self._within({name: torch.ones_like(mask) for name, mask in self.masks.items()})
        return self._pruned(step, self.masks, value)

    def _pruned(self, step: int, masks: Masks, sparsity: float) -> Masks:
        """Returns the masks within these that leave the sparsity; the weights are adjusted and zeroed on the way."""
        earlier = max((at for at in self.plan if at < step), default=None)
        for goal in geometric(0.0 if earlier is None else self.plan[earlier], sparsity, self.rounds):
            inputs = self.scoring.inputs(self.score, step)
            scores = self.scoring.scores(self.score, step, inputs)
            scores = {name: scores[name].masked_fill(~mask, -torch.inf) for name, mask in masks.items()}
            masks = self._within(self.budget.masks(scores, goal))
            with torch.no_grad():
                for name, weight in self._weights.items():
                    if isinstance(self.score, ScoreWithMemory):
                        weight.copy_(self.score.adjusted(weight.detach(), inputs["memory"][name], masks[name]))
                    zero_(weight, masks[name])
            del inputs  # which may be as large as 50 networks, and are made anew
        return masks

    def forward_passes(self, step: int) -> int:
        return self.rounds * self.scoring.forward_passes(self.score, step) if step in self.plan else 0

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "inherited": {name: pack(mask).cpu() for name, mask in self._inherited.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        packed: Mapping[str, Tensor] = state.get("inherited", {})
        weights = {name: self._weights[name] for name in packed}
        self._inherited = {name: unpack(packed[name].to(w.device), w.shape) for name, w in weights.items()}

    def _within(self, masks: Masks) -> Masks:
        """Masks without the zeros that the weights came with."""
        return {n: mask & self._inherited[n] if n in self._inherited else mask for n, mask in masks.items()}

    def _check_inherited(self) -> None:
        """Raises ValueError if the target can only be met by weights that came as zeros."""
        if not self._inherited:
            return
        shapes, kept = {name: weight.shape for name, weight in self._weights.items()}, counts(self._inherited)
        for name, wanted in self.budget.targets(shapes).items():
            if wanted is not None and wanted > kept.get(name, wanted):
                raise ValueError(
                    f"{name} comes with {kept[name]} weights that are not zero and sparsity={self.target} would keep"
                    f" {wanted}; use distribution=global or a higher sparsity, or method=dense"
                )
        numel = sum(shape.numel() for shape in shapes.values())
        live = numel - sum(mask.numel() - kept[name] for name, mask in self._inherited.items())
        if self.budget.keep(numel) > live:
            raise ValueError(
                f"the weights in scope come {1 - live / numel:.4%} sparse, and nothing is revived:"
                f" sparsity={self.target} is less than that; use method=dense to keep them as they are"
            )
