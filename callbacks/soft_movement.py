"""Soft movement pruning: a threshold on trained scores, and a penalty that pushes scores below it."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor
from torch.nn import Parameter

from callbacks.learned_scores import LearnedScores
from callbacks.sparsifier import Masks
from sparsity.budget import Budget
from sparsity.schedules import Schedule


@final
class SoftMovement(LearnedScores):
    """Keeps the weights whose sigmoid(score) is above a threshold (Sanh et al. 2020, arXiv 2005.07683, section 4).

    The loss has a penalty on the mean of sigmoid(score) over the scope. How sparse that makes the network cannot be
    set, so the schedule is a floor and an end: before its end the highest scores that its sparsity allows are kept as
    well, from its end on they alone are.

    Args:
        budget: target sparsity, scope and distribution.
        threshold: of sigmoid(score), in (0, 1); the paper's is 0.1.
        penalty: factor of the mean of sigmoid(score).
        score_lr: learning rate of the scores where the others have `lr`, in optimizers that normalise gradients, as
            Adam does; it follows the same schedule. The paper's is 1e-2.
        lr: learning rate of the others.
        schedule: maps the run's steps to {step: sparsity}.
        every: optimizer steps between two choices of the masks.
        train: regular expressions of the names of parameters that are trained with the scores; the others are frozen.
    """

    def __init__(
        self,
        budget: Budget,
        threshold: float,
        penalty: float,
        score_lr: float,
        lr: float,
        schedule: Schedule,
        every: int,
        train: Sequence[str],
    ) -> None:
        if not 0 < threshold < 1:
            raise ValueError(f"method.sparsifier.threshold={threshold} must be above 0 and below 1, such as 0.1")
        if penalty < 0:
            raise ValueError(f"method.sparsifier.penalty={penalty} must be at least 0")
        if score_lr <= 0:
            raise ValueError(f"method.sparsifier.score_lr={score_lr} must be above 0; the paper's is 1e-2")
        super().__init__(budget, schedule, every, train)
        self.threshold = threshold
        self.penalty = penalty
        self.rate = score_lr / lr

    def initial_scores(self) -> dict[str, Tensor]:
        return {name: torch.zeros_like(weight) for name, weight in self._weights.items()}

    def update(self, step: int, value: float) -> Masks:
        # What is trained are scores / rate, so that a step of Adam moves a score by rate times the learning rate.
        scores = {name: score.detach() * self.rate for name, score in self._scores.items()}
        masks = self.budget.masks(scores, value)
        if value == self.target:
            return masks
        return {name: mask | (scores[name].sigmoid() > self.threshold) for name, mask in masks.items()}

    def gradient(self, name: str, weight: Parameter, gradient: Tensor) -> Tensor | None:
        descended, score = super().gradient(name, weight, gradient), self._scores[name]
        sigmoid = (score.detach() * self.rate).sigmoid()
        assert score.grad is not None
        score.grad += sigmoid * (1 - sigmoid) * (self.penalty / self._numel)
        return descended
