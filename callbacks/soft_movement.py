"""Soft movement pruning: a threshold on trained scores, and a penalty that pushes scores below it."""

from collections.abc import Sequence
from typing import final

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.nn import Parameter

from callbacks.learned_scores import LearnedScores, undecayed
from callbacks.moments import Moments
from callbacks.sparsifier import Masks
from sparsity.budget import Budget
from sparsity.patterns import Tiles
from sparsity.schedules import Schedule


@final
class SoftMovement(LearnedScores):
    """Keeps the weights whose sigmoid(score) is above a threshold (Sanh et al. 2020, arXiv 2005.07683, section 4).

    The loss has a penalty on the mean of sigmoid(score) over the scope, in proportion to the scheduled sparsity, as the
    authors' code has it: 0 where the schedule begins, whole from its end on. How sparse that makes the network cannot
    be set, so the schedule is a floor and an end: before its end the highest scores that its sparsity allows are kept
    as well, from its end on they alone are. What is above the threshold is whole units of the pattern, by their mean.

    Args:
        budget: target sparsity, scope and distribution.
        threshold: of sigmoid(score), in (0, 1); the paper's is 0.1.
        penalty: factor of the mean of sigmoid(score), from the schedule's end on.
        score_lr: learning rate of the scores in optimizers that normalise gradients, as Adam does; it follows the
            schedule of the others, whose own is read from the optimizer. The paper's is 1e-2.
        schedule: maps the run's steps to {step: sparsity}.
        every: optimizer steps between two choices of the masks.
        train: regular expressions of the names of parameters that are trained with the scores; the others are frozen.
        moments: what the optimizer remembers of trained weights that are pruned and kept again; by default everything.
    """

    def __init__(
        self,
        budget: Budget,
        threshold: float,
        penalty: float,
        score_lr: float,
        schedule: Schedule,
        every: int,
        train: Sequence[str],
        moments: Moments | None = None,
    ) -> None:
        if not 0 < threshold < 1:
            raise ValueError(f"method.sparsifier.threshold={threshold} must be above 0 and below 1, such as 0.1")
        if penalty < 0:
            raise ValueError(f"method.sparsifier.penalty={penalty} must be at least 0")
        if score_lr <= 0:
            raise ValueError(f"method.sparsifier.score_lr={score_lr} must be above 0; the paper's is 1e-2")
        if not isinstance(budget.pattern, Tiles):
            raise ValueError(
                f"pattern={budget.pattern.label} cannot be cut at the threshold of method=soft_movement, which takes"
                " single weights or blocks; use pattern=block or unstructured, or method=learned_mask_joint"
            )
        super().__init__(budget, schedule, every, train, moments=moments)
        self.pattern = budget.pattern
        self.threshold = threshold
        self.penalty = penalty
        self.score_lr = score_lr

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        group = undecayed(trainer.optimizers[0])
        self.rate = self.score_lr / group.get("initial_lr", group["lr"])  # the first is left by schedules
        super().on_fit_start(trainer, pl_module)

    def initial_scores(self) -> dict[str, Tensor]:
        return {name: torch.zeros_like(weight) for name, weight in self._weights.items()}

    def update(self, step: int, value: float) -> Masks:
        # What is trained are scores / rate, so that a step of Adam moves a score by rate times the learning rate.
        scores = {name: score.detach() * self.rate for name, score in self._scores.items()}
        masks = self.budget.masks(scores, value)
        if value == self.target:
            return masks
        units = {name: score.sigmoid() > self.threshold for name, score in self.pattern.pooled(scores).items()}
        return {name: mask | masks[name] for name, mask in self.pattern.spread(units).items()}

    def gradient(self, name: str, weight: Parameter, gradient: Tensor) -> Tensor | None:
        descended, score = super().gradient(name, weight, gradient), self._scores[name]
        sigmoid = (score.detach() * self.rate).sigmoid()
        assert score.grad is not None
        score.grad += sigmoid * (1 - sigmoid) * (self._penalty / self._numel)
        return descended

    @property
    def _penalty(self) -> float:
        value = self.planned(self._trainer.global_step)
        return self.penalty if value == self.target else self.penalty * value / self.target
