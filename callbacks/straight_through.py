"""Masks of weights that keep a value behind their zero, which training goes on to move."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from callbacks.moments import Moments
from callbacks.scoring import Scoring
from callbacks.sparsifier import Masks, Plan, Sparsifier
from sparsity.budget import Budget
from sparsity.schedules import Schedule


class StraightThrough(Sparsifier, ABC):
    """Lets the optimizer step on hidden values, and the network compute with those that the mask keeps.

    Between two optimizer steps the parameters hold hidden value * mask, so that forward passes, validation and
    checkpoints see a sparse network, and autograd yields the dense gradient of what the network computes with. The
    hidden values are in the parameters from `on_before_optimizer_step` until the optimizer has stepped, and nowhere
    else: a hook of the optimizer itself takes them out.

    The plan has an entry wherever the schedule has one, and every few steps after its first, with the sparsity reached.
    An entry at step t comes after t steps and decides what the forward pass of step t computes with, as if the masks
    were chosen in that forward pass. The end of training is such a place, too.

    Args:
        budget: target sparsity, scope and distribution.
        schedule: maps the run's steps to {step: sparsity}.
        every: optimizer steps between two choices of the masks.
        scoring: evaluates scores.
        moments: what the optimizer remembers of weights that are not trained any more, or again.
    """

    def __init__(
        self,
        budget: Budget,
        schedule: Schedule,
        every: int,
        scoring: Scoring | None = None,
        moments: Moments | None = None,
    ) -> None:
        if every < 1:
            raise ValueError(f"method.sparsifier.every={every} must be at least 1 optimizer step")
        super().__init__(budget, scoring, moments)
        self.schedule = schedule
        self.every = every
        self._values: dict[str, Tensor] = {}

    @abstractmethod
    def update(self, step: int, value: float) -> Masks:
        """Returns the masks of a sparsity; the weights hold their hidden values."""

    @abstractmethod
    def gradient(self, name: str, weight: Parameter, gradient: Tensor) -> Tensor | None:
        """Returns what the hidden values of a tensor descend; None = they stay.

        Args:
            weight: holds its hidden values.
            gradient: of the loss by what the network computes with, dense.
        """

    def make_plan(self, steps: int) -> Plan:
        scheduled = self.schedule.plan(steps, self.budget.sparsity)
        plan: Plan = {}
        for step in range(min(scheduled), steps + 1):
            if step in scheduled:
                value = scheduled[step]
            if step in scheduled or step % self.every == 0:
                plan[step] = value
        return plan

    def first_masks(self) -> Masks:
        self._values = {name: weight.detach().clone() for name, weight in self._weights.items()}
        return self.update(0, self.plan.get(0, 0.0))

    @property
    def active(self) -> Masks:
        return {name: torch.ones_like(mask) for name, mask in self.masks.items()}

    @property
    def descending(self) -> Masks:
        """The places whose hidden values descend a gradient, in tensors where these change with the masks."""
        return {}

    def planned(self, step: int) -> float:
        """Returns the plan's value that a step computes with: of its latest entry, 0 before the first."""
        return next((self.plan[s] for s in range(step, step - self.every, -1) if s in self.plan), 0.0)

    def looks_at_dense_gradient(self, step: int) -> bool:
        return True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._hooks = [optimizer.register_step_post_hook(self._after_step) for optimizer in trainer.optimizers]

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        pl_module.log("sparsity", self.sparsity)
        for name, gradient in self.scoring.present_gradients().items():
            weight = self._weights[name]
            weight.detach().copy_(self._values[name])
            weight.grad = self.gradient(name, weight, gradient)

    def _after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        for name, weight in self._weights.items():
            self._values[name].copy_(weight.detach())
        step = self._trainer.global_step + 1  # Lightning counts a step once the optimizer is back
        if step in self.plan:
            old = self.descending
            self._set(self.update(step, self.plan[step]))
            for name, new in self.descending.items():
                self.moments.change(optimizer, name, self._weights[name], old[name], new)
        self._zero_weights()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        for hook in self._hooks:
            hook.remove()

    def state_dict(self) -> dict[str, Any]:
        hidden = {name: values[~self.masks[name]].cpu() for name, values in self._values.items()}
        return {**super().state_dict(), "hidden": hidden}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self._values = {name: weight.detach().clone() for name, weight in self._weights.items()}
        for name, mask in self.masks.items():
            self._values[name][~mask] = state["hidden"][name].to(mask.device)
