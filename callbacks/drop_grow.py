"""Dynamic sparse training: at every update each tensor drops some of its weights and grows as many others."""

from typing import final

from lightning.pytorch import LightningModule, Trainer

from callbacks.gradients import batch_gradients
from callbacks.sparsifier import Masks, Plan, Sparsifier
from sparsity.budget import Budget
from sparsity.drop_grow import drop_and_grow
from sparsity.schedules import Schedule
from sparsity.scores import Score, needs


@final
class DropGrow(Sparsifier):
    """Starts sparse and exchanges weights at constant sparsity (SET, RigL).

    RigL (Evci et al. 2020, arXiv 1911.11134, algorithm 1) drops by magnitude and grows by the magnitude of the dense
    gradient of the step, which is accumulated and all-reduced. The step is then taken with the new masks; the
    paper leaves it out. Grown weights start at zero with clean moments, of which Adam's bias correction knows
    nothing: their first moves are larger than those of a fresh optimizer. A weight that is dropped and grown in one
    update keeps its value, as in the official code.

    Args:
        budget: sparsity, scope and the distribution of the first masks; each tensor keeps its count afterwards.
        initial: score of the first masks.
        drop: score of the kept weights; the lowest are dropped.
        grow: score of the others; the highest are grown.
        drop_fraction: share of the kept weights exchanged at the first update.
        schedule: maps the run's steps to {step: drop fraction}.
        seed: of random scores.
        gradient_batches: training batches over which an initial score that needs gradients averages them.
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
        gradient_batches: int = 1,
    ) -> None:
        if not 0 < drop_fraction <= 1:
            raise ValueError(f"method.sparsifier.drop_fraction={drop_fraction} must be above 0 and at most 1")
        super().__init__(budget, seed)
        self.budget = budget
        self.initial = initial
        self.drop = drop
        self.grow = grow
        self.drop_fraction = drop_fraction
        self.schedule = schedule
        self.gradient_batches = gradient_batches

    def make_plan(self, steps: int) -> Plan:
        return self.schedule.plan(steps, self.drop_fraction)

    def first_masks(self, trainer: Trainer, module: LightningModule) -> Masks:
        gradients = None
        if self.batches_before_training:
            gradients = batch_gradients(trainer, module, self._weights, self.gradient_batches)
        return self.budget.masks(self.scores(self.initial, 0, gradients))

    def update(self, step: int, value: float) -> Masks:
        drop, grow = self.scores(self.drop, step), self.scores(self.grow, step)
        masks = {}
        for name, mask in self.masks.items():
            try:
                masks[name] = drop_and_grow(mask, drop[name], grow[name], value)
            except ValueError as error:
                raise ValueError(f"update of {name} at step {step}: {error}") from error
        return masks

    def looks_at_dense_gradient(self, step: int) -> bool:
        return step > 0 and step in self.plan and "gradient" in needs(self.grow)

    @property
    def batches_before_training(self) -> int:
        return self.gradient_batches if "gradient" in needs(self.initial) else 0
