"""Masks whose scores are trained by the optimizer, like weights."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from callbacks.moments import Moments
from callbacks.scoring import Scoring
from callbacks.sparsifier import Masks
from callbacks.straight_through import StraightThrough
from callbacks.trained import trained
from sparsity.budget import Budget
from sparsity.masks import zero_
from sparsity.schedules import Schedule
from sparsity.straight_through import score_gradient


class LearnedScores(StraightThrough, ABC):
    """Trains a score of each weight in scope, alone or together with parameters of the network.

    Scores are float32 parameters of this callback in the optimizer's group without weight decay, with the learning rate
    of the others. A weight that is trained descends the gradient of the network with the mask, which is zero where it
    is pruned; there nothing moves it but weight decay and what `moments` leaves of its optimizer state.

    Args:
        budget: target sparsity, scope and distribution.
        schedule: maps the run's steps to {step: sparsity}.
        every: optimizer steps between two choices of the masks.
        train: regular expressions, searched for in the names of the network's parameters; what none of them matches is
            frozen, in scope or not. [] = the scores only, ["."] = everything.
        scoring: evaluates initial scores.
        moments: what the optimizer remembers of trained weights that are pruned and kept again; by default nothing. In
            Sanh et al.'s code it keeps everything, so that pruned ones drift on for some steps.
    """

    def __init__(
        self,
        budget: Budget,
        schedule: Schedule,
        every: int,
        train: Sequence[str],
        scoring: Scoring | None = None,
        moments: Moments | None = None,
    ) -> None:
        if isinstance(train, str):
            raise ValueError(f"method.sparsifier.train must be a list of regular expressions, such as ['{train}']")
        for pattern in train:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"method.sparsifier.train has an invalid pattern '{pattern}': {error}") from error
        super().__init__(budget, schedule, every, scoring, moments)
        self.train = tuple(train)
        self._scores: dict[str, Parameter] = {}

    @abstractmethod
    def initial_scores(self) -> dict[str, Tensor]:
        """Returns the scores before training; the weights hold their values."""

    def first_masks(self) -> Masks:
        self._scores = {name: Parameter(score.float()) for name, score in self.initial_scores().items()}
        return super().first_masks()

    @property
    def active(self) -> Masks:
        return {n: torch.full_like(mask, self._trains(n)) for n, mask in self.masks.items()}

    @property
    def descending(self) -> Masks:
        return {name: mask for name, mask in self.masks.items() if self._trains(name)}

    @property
    def numbers(self) -> dict[str, float]:
        return {"trained_scores": sum(score.numel() for score in self._scores.values())}

    def gradient(self, name: str, weight: Parameter, gradient: Tensor) -> Tensor | None:
        self._scores[name].grad = score_gradient(gradient, weight.detach()).float()
        return zero_(gradient, self.masks[name]) if self._trains(name) else None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_fit_start(trainer, pl_module)
        # Before the optimizer's state is restored, so that a checkpoint's has as many parameters.
        undecayed(trainer.optimizers[0])["params"].extend(self._scores.values())
        names = [name for name, _ in trained(pl_module).network.named_parameters()]
        for pattern in self.train:
            if not any(re.search(pattern, name) for name in names):
                raise ValueError(f"method.sparsifier.train '{pattern}' matches no parameter, such as {names[-1]}")
        parameters = trained(pl_module).network.named_parameters()
        self.frozen = {name: parameter for name, parameter in parameters if not self._trains(name)}

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        super().on_before_optimizer_step(trainer, pl_module, optimizer)
        for parameter in self.frozen.values():
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "scores": {name: score.detach().cpu() for name, score in self._scores.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self._scores = {n: Parameter(state["scores"][n].to(weight.device)) for n, weight in self._weights.items()}

    def _trains(self, name: str) -> bool:
        return any(re.search(pattern, name) for pattern in self.train)


def undecayed(optimizer: Optimizer) -> dict[str, Any]:
    """Returns the parameter group that scores go to.

    Raises:
        ValueError: if every group has weight decay.
    """
    groups = [group for group in optimizer.param_groups if not group.get("weight_decay")]
    if not groups:
        raise ValueError(
            "learned scores need a parameter group without weight decay;"
            " use optim.decay_biases_and_norms=false or optim.optimizer.weight_decay=0"
        )
    return groups[-1]
