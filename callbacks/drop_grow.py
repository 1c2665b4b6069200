"""Dynamic sparse training: every update drops some of the kept weights and grows others."""

from collections.abc import Mapping
from typing import Any, final

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from callbacks.moments import Moments
from callbacks.scoring import Scoring
from callbacks.sparsifier import Masks, Plan, Sparsifier
from sparsity.budget import Budget
from sparsity.exchange import Exchange, PerTensor
from sparsity.exploration import Exploration
from sparsity.ledger import counts
from sparsity.memories import Running
from sparsity.patterns import Tiles
from sparsity.schedules import Schedule
from sparsity.scores import Score, needs


@final
class DropGrow(Sparsifier):
    """Starts sparse and exchanges weights at constant sparsity (SET, RigL, SNFS, DSR, MEST), or with a surplus.

    RigL (Evci et al. 2020, arXiv 1911.11134, algorithm 1) drops by magnitude and grows by the magnitude of the dense
    gradient of the step, which is accumulated and all-reduced. Grown weights start at zero with clean moments, of which
    Adam's bias correction knows nothing: their first moves are larger than those of a fresh optimizer. A weight that is
    dropped and grown in one update keeps its value, as in the official code.

    Args:
        budget: sparsity, scope and the distribution of the first masks.
        initial: score of the first masks.
        drop: score of the kept weights; the lowest are dropped.
        grow: score of the others; the highest are grown.
        drop_fraction: share of the kept weights exchanged at the first update.
        schedule: maps the run's steps to {step: drop fraction}.
        seed: of random scores.
        moments: what the optimizer remembers of weights that change; by default nothing.
        gradient_batches: training batches over which an initial score that needs gradients averages them.
        exchange: which tensors compete; by default none, so that each keeps its count. One with a surplus needs a
            schedule that ends with a fraction of 0, so that the run ends on target.
        grace: steps for which newborn weights are not dropped; where too few others are left, fewer are exchanged.
        step_at_update: whether weights also move at the step of an update, after it and with the new masks. RigL's
            algorithm leaves that out: nothing then moves or decays, only the learning rate goes on.
    """

    def __init__(
        self,
        budget: Budget,
        initial: Score,
        drop: Score,
        grow: Score,
        drop_fraction: float,
        schedule: Schedule,
        seed: int,
        moments: Moments | None = None,
        gradient_batches: int = 1,
        exchange: Exchange | None = None,
        grace: int = 0,
        step_at_update: bool = True,
    ) -> None:
        if not 0 < drop_fraction <= 1:
            raise ValueError(f"method.sparsifier.drop_fraction={drop_fraction} must be above 0 and at most 1")
        if not isinstance(budget.pattern, Tiles):
            raise ValueError(
                f"pattern={budget.pattern.label} cannot be exchanged unit by unit within a tensor, as RigL and SET do;"
                " use pattern=block or pattern=unstructured, or a method that prunes, such as method=gmp"
            )
        if grace < 0:
            raise ValueError(f"method.sparsifier.grace={grace} must be at least 0 steps")
        super().__init__(budget, Scoring(seed, [drop, grow], gradient_batches), moments)
        self.units = budget.pattern
        self.initial = initial
        self.drop = drop
        self.grow = grow
        self.drop_fraction = drop_fraction
        self.schedule = schedule
        self.exchange = exchange or PerTensor()
        self.grace = grace
        self.step_at_update = step_at_update
        self._own: dict[str, int] = {}  # units
        self._exploration = Exploration({})
        self._explored: Mapping[str, Any] | None = None

    def make_plan(self, steps: int) -> Plan:
        plan = self.schedule.plan(steps, self.drop_fraction)
        if self.exchange.has_surplus and plan[max(plan)] > 0:
            raise ValueError(
                f"the last update, at step {max(plan)}, leaves a surplus that nothing drops; use"
                f" method.sparsifier.schedule.closed=true"
            )
        return plan

    def first_masks(self) -> Masks:
        masks = self.budget.masks(self.scoring.scores(self.initial, 0))
        self._own = counts(self.units.pooled(masks))
        return masks

    def update(self, step: int, value: float) -> Masks:
        drop, grow = self.scoring.scores(self.drop, step, use=1), self.scoring.scores(self.grow, step)
        if self.grace:
            young = self._exploration.young(step, self.masks, self.grace)
            drop = {name: score.masked_fill(young[name], torch.inf) for name, score in drop.items()}
        try:
            pooled = self.units.pooled(self.masks), self.units.pooled(drop), self.units.pooled(grow)
            units = self.exchange.update(*pooled, self._own, value)
        except ValueError as error:
            odd = next((name for name in self.masks if _has_nan(drop[name]) or _has_nan(grow[name])), "the masks")
            raise ValueError(f"update of {odd} at step {step}: {error}") from error
        masks = self.units.spread(units)
        self._exploration.update(step, self.masks, masks, self.grace)
        return masks

    def looks_at_dense_gradient(self, step: int) -> bool:
        if isinstance(self.grow, Running):
            return step <= max(self.plan)
        return "gradient" in needs(self.grow) and step > 0 and step in self.plan

    def forward_passes(self, step: int) -> int:
        if step == 0:
            return self.scoring.forward_passes(self.initial, 0)
        scores = (self.drop, self.grow) if step in self.plan else ()
        return sum(self.scoring.forward_passes(score, step) for score in scores)

    @property
    def tensors_keep_counts(self) -> bool:
        return self.exchange.keeps_counts

    @property
    def settled(self) -> bool:
        return super().settled and self._kept == sum(self._own.values()) * self.units.size

    @property
    def numbers(self) -> dict[str, float]:
        return self._exploration.numbers

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_fit_start(trainer, pl_module)
        explored = self._explored
        self._exploration = Exploration.restored(explored, self.masks) if explored else Exploration(self.masks)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        super().on_before_optimizer_step(trainer, pl_module, optimizer)
        if not self.step_at_update and trainer.global_step in self.plan:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    parameter.grad = None  # which every optimizer passes over

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"own": self._own, "exploration": self._exploration.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self._own = state["own"]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._explored = state_dict.get("exploration")  # which the run that another one starts from does not have


def _has_nan(score: Tensor) -> bool:
    return bool(score.isnan().any())
