"""Dynamic sparse training: at every update each tensor drops some of its weights and grows as many others."""

from typing import final

from callbacks.moments import Moments
from callbacks.sparsifier import Masks, Plan, Sparsifier
from sparsity.budget import Budget
from sparsity.drop_grow import drop_and_grow
from sparsity.patterns import Tiles
from sparsity.schedules import Schedule
from sparsity.scores import FROM_GRADIENTS, Score, needs


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
        moments: what the optimizer remembers of weights that change; by default nothing.
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
        moments: Moments | None = None,
        gradient_batches: int = 1,
    ) -> None:
        if not 0 < drop_fraction <= 1:
            raise ValueError(f"method.sparsifier.drop_fraction={drop_fraction} must be above 0 and at most 1")
        if not isinstance(budget.pattern, Tiles):
            raise ValueError(
                f"pattern={budget.pattern.label} cannot be exchanged unit by unit within a tensor, as RigL and SET do;"
                " use pattern=block or pattern=unstructured"
            )
        super().__init__(budget, seed, moments, [drop, grow], gradient_batches)
        self.units = budget.pattern
        self.initial = initial
        self.drop = drop
        self.grow = grow
        self.drop_fraction = drop_fraction
        self.schedule = schedule

    def make_plan(self, steps: int) -> Plan:
        return self.schedule.plan(steps, self.drop_fraction)

    def first_masks(self) -> Masks:
        return self.budget.masks(self.scores(self.initial, 0))

    def update(self, step: int, value: float) -> Masks:
        drop = self.units.pooled(self.scores(self.drop, step))
        grow = self.units.pooled(self.scores(self.grow, step))
        masks = {}
        for name, mask in self.units.pooled(self.masks).items():
            try:
                masks[name] = drop_and_grow(mask, drop[name], grow[name], value)
            except ValueError as error:
                raise ValueError(f"update of {name} at step {step}: {error}") from error
        return self.units.spread(masks)

    def looks_at_dense_gradient(self, step: int) -> bool:
        return step > 0 and step in self.plan and bool(FROM_GRADIENTS & needs(self.grow))

    @property
    def batches_before_training(self) -> int:
        return self.gradient_batches if FROM_GRADIENTS & needs(self.initial) else 0
