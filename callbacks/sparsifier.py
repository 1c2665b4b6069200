"""The one callback that decides which weights are zero.

It holds the masks, a dict of bool tensors (True = kept) keyed by the parameter names of the network, which stays a
plain module. Pruned weights are zeroed in place when the masks change. From then on masked gradients and clean
moments keep them at exactly zero in every torch optimizer, so that no pass over the weights is needed at a step.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from callbacks.frozen import refuse_frozen
from callbacks.moments import Moments, Zero
from callbacks.scoring import Scoring
from callbacks.trained import trained
from sparsity.budget import Budget
from sparsity.ledger import Ledger, counts, ledger
from sparsity.masks import leaks, pack, unpack, zero_

log = logging.getLogger(__name__)

Masks = dict[str, Tensor]
Plan = dict[int, float]


class Sparsifier(Callback, ABC):
    """Keeps the weights of a scope masked and changes the masks when its plan says so.

    Attributes:
        keeps_zeros: whether weights out of scope that are zero in the beginning stay zero; see `InheritedZeros`.
        frozen: parameters of the network that have gradients and get no step, by name.

    Args:
        budget: sparsity of the scope at the end of the plan, and which weights that is; None = nothing is ever zeroed.
        scoring: evaluates scores.
        moments: what the optimizer remembers of dropped and newborn weights.
    """

    keeps_zeros = True
    frozen: Mapping[str, Parameter] = {}

    def __init__(self, budget: Budget | None, scoring: Scoring | None = None, moments: Moments | None = None) -> None:
        self.target = 0.0 if budget is None else budget.sparsity
        self.scoring = scoring or Scoring()
        self.moments = moments or Zero()
        self._budget = budget
        self.masks: Masks = {}
        self.plan: Plan = {}
        self.sparsity = 0.0
        self.densities: dict[str, float] = {}
        self._numel = self._kept = 0
        self._weights: dict[str, Parameter] = {}
        self._restored: dict[str, Any] | None = None

    @property
    def budget(self) -> Budget:
        """What may be kept, of this network once training has begun."""
        assert self._budget is not None
        return self._budget

    @abstractmethod
    def make_plan(self, steps: int) -> Plan:
        """Returns {optimizer step: value}: what happens when, in a run of so many steps."""

    @abstractmethod
    def first_masks(self) -> Masks:
        """Returns the masks before the first step."""

    @abstractmethod
    def update(self, step: int, value: float) -> Masks:
        """Returns the masks that the plan's `value` at `step` leads to; gradients are those of the step, dense."""

    def ledger(self, module: LightningModule, inherited: Mapping[str, Tensor] | None = None) -> Ledger:
        """The counts of the present masks, with each tensor's target where the distribution sets one.

        Args:
            inherited: masks of what is out of scope; without a budget they are the scope.
        """
        if self._budget is None:
            return ledger(trained(module).network, inherited or {}, self.target)
        shapes = {name: mask.shape for name, mask in self.masks.items()}
        targets = self._budget.targets(shapes) if self.tensors_keep_counts else {}
        return ledger(
            trained(module).network, self.masks, self._budget.sparsity_of_scope(self._numel), targets, inherited
        )

    def looks_at_dense_gradient(self, step: int) -> bool:
        """Whether deciding the masks at a step takes the gradient of the weights that are zero."""
        return False

    def gradient_densities(self, step: int) -> Mapping[str, float]:
        """Fractions of each tensor's weights whose gradients a step takes; what is not named is dense."""
        return {} if self.looks_at_dense_gradient(step) else self.densities

    @property
    def active(self) -> Masks:
        """The places that a step may move: gradients and optimizer state are zero elsewhere."""
        return self.masks

    def forward_passes(self, step: int) -> int:
        """Work that scores do at a step beside that of training, as a number of forward passes of its batch."""
        return 0

    @property
    def revives(self) -> bool:
        """Whether pruned weights may come back, for which they have to be trained."""
        values = [self.plan[step] for step in sorted(self.plan)]
        return values != sorted(values)

    @property
    def tensors_keep_counts(self) -> bool:
        """Whether each tensor keeps what the distribution gave it."""
        return True

    @property
    def numbers(self) -> dict[str, float]:
        """What there is to say of the updates so far beside sparsity; logged at each, and part of the result."""
        return {}

    @property
    def settled(self) -> bool:
        """Whether the target is reached, so that a checkpoint counts as sparse."""
        return self._budget is None or self._budget.met({n: m.shape for n, m in self.masks.items()}, self._kept)

    # What follows is Lightning's side: when the above is called and what is kept true in between.

    @property
    def state_key(self) -> str:
        return "Sparsifier"

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not isinstance(trainer.strategy, SingleDeviceStrategy | DDPStrategy):
            raise ValueError(
                f"strategy {type(trainer.strategy).__name__} shards weights, which masks do not follow; use ddp"
            )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._trainer, self._module = trainer, pl_module
        if len(trainer.optimizers) > 1:
            raise ValueError(f"masks need one optimizer, not {len(trainer.optimizers)}")
        if self._budget is not None:
            self._budget = self._budget.on(trained(pl_module).network)
            self._weights = self._budget.scope.select(trained(pl_module).network)
        self.scoring.attach(trainer, pl_module, self._weights)
        self.plan = self.make_plan(trained(pl_module).steps)
        if self.revives:
            refuse_frozen(self._weights, "what this method prunes comes back to be trained")
        if trainer.ckpt_path is not None and self._restored is None:
            raise ValueError(f"{trainer.ckpt_path} has no masks: it is not the checkpoint of a run of this kind")
        if self._restored is not None and (self._restored["masks"] or not self._weights):
            self.restore(self._restored)
            self.check()
        else:
            self._set(self.first_masks())
            self._zero_weights()
        self._restored = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for optimizer in () if self.moments.dirty else trainer.optimizers:  # which may have been that of a dense run
            for name, mask in self.active.items():
                Zero().change(optimizer, name, self._weights[name], mask, mask)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        # Gradients are accumulated, all-reduced and unscaled here, and not yet clipped.
        step = trainer.global_step
        if step <= max(self.plan, default=-1):
            self.scoring.remember()
        if step > 0 and step in self.plan:
            self._change(optimizer, self.update(step, self.plan[step]))
            for logger in trainer.loggers:
                logger.log_metrics({"sparsity": self.sparsity, **self.numbers}, step)
        for name, weight in self._weights.items():
            if weight.grad is not None and not self.moments.dirty:
                zero_(weight.grad, self.masks[name])

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.moments.dirty:
            self._zero_weights()

    def _change(self, optimizer: Optimizer, masks: Masks) -> None:
        """Takes new masks: moments and weights follow, and what scores remember since the last update is forgotten."""
        old = self.masks
        self._set(masks)
        for name, mask in masks.items():
            self.moments.change(optimizer, name, self._weights[name], old[name], mask)
        self._zero_weights()
        self.scoring.forget()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.check()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.check()

    def state_dict(self) -> dict[str, Any]:
        self.check()
        return {
            "masks": {name: pack(mask).cpu() for name, mask in self.masks.items()},
            "memories": self.scoring.state_dict(),
            "moments": self.moments.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` returned, once the weights are there."""
        self._set(self._unpacked(state["masks"]))
        self.scoring.load_state_dict(state["memories"])
        self.moments.load_state_dict(state["moments"])

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restored = state_dict

    def check(self) -> None:
        """Raises RuntimeError if a pruned weight is not exactly zero."""
        if self.masks:
            leaking = torch.stack([leaks(self._weights[name], mask) for name, mask in self.masks.items()]).tolist()
            for name, count in zip(self.masks, leaking, strict=True):
                if count:
                    raise RuntimeError(f"{count} pruned weights of {name} are not zero")

    def _set(self, masks: Masks) -> None:
        self.masks = masks
        kept, known = counts(masks), {name for name, density in self.densities.items() if density == 0}
        self._numel, self._kept = sum(mask.numel() for mask in masks.values()), sum(kept.values())
        self.sparsity = 1 - self._kept / self._numel if masks else 0.0
        self.densities = {name: kept[name] / mask.numel() for name, mask in masks.items()}
        for name in (name for name, count in kept.items() if count == 0 and name not in known):
            log.warning("%s has no weights left at sparsity %.4f: nothing passes through it", name, self.sparsity)

    def _zero_weights(self) -> None:
        with torch.no_grad():
            for name, weight in self._weights.items():
                zero_(weight, self.masks[name])

    def _unpacked(self, packed: Mapping[str, Tensor]) -> Masks:
        if packed.keys() != self._weights.keys():
            odd = sorted(packed.keys() ^ self._weights.keys())[0]
            raise ValueError(
                f"the checkpoint's masks are not those of this model and scope: {odd} is in one of them only"
            )
        return {name: unpack(packed[name].to(weight.device), weight.shape) for name, weight in self._weights.items()}
