"""The one callback that decides which weights are zero.

It holds the masks, a dict of bool tensors (True = kept) keyed by the parameter names of the network, which stays a
plain module. Pruned weights are zeroed in place when the masks change. From then on masked gradients and clean
moments keep them at exactly zero in every torch optimizer, so that no pass over the weights is needed at a step.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from callbacks.gradients import batch_gradients, mean_gradient
from callbacks.moments import Moments, Zero
from callbacks.trained import trained
from sparsity.budget import Budget
from sparsity.ledger import Ledger, counts, ledger
from sparsity.masks import leaks, pack, unpack, zero_
from sparsity.memories import Running, ScoreWithMemory
from sparsity.scores import Score, evaluate, needs

log = logging.getLogger(__name__)

Masks = dict[str, Tensor]
Plan = dict[int, float]


class Sparsifier(Callback, ABC):
    """Keeps the weights of a scope masked and changes the masks when its plan says so.

    Args:
        budget: sparsity of the scope at the end of the plan, and which weights that is; None = nothing is ever zeroed.
        seed: of the random draws, which use a generator of their own, seeded with (seed, step).
        moments: what the optimizer remembers of dropped and newborn weights.
        updating: the scores that updates use, so that what they remember is kept up to date.
        gradient_batches: training batches over which gradients are taken outside the steps of training.
    """

    def __init__(
        self,
        budget: Budget | None,
        seed: int = 0,
        moments: Moments | None = None,
        updating: Sequence[Score] = (),
        gradient_batches: int = 1,
    ) -> None:
        self.target = 0.0 if budget is None else budget.sparsity
        self.seed = seed
        self.moments = moments or Zero()
        self.gradient_batches = gradient_batches
        self._budget = budget
        self._running = [score for score in updating if isinstance(score, Running)]
        self._memories: list[dict[str, Tensor]] = [{} for _ in self._running]
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

    def scores(self, score: Score, step: int) -> dict[str, Tensor]:
        """Evaluates a score on every weight in scope, pruned ones included.

        Gradients are those of the present step, and before training the mean over `gradient_batches` batches.

        Args:
            step: seeds the random draws together with the run's seed.
        """
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + step) % 2**63)
        wanted = needs(score)
        more: dict[str, dict[str, Tensor]] = {}
        if "gradient" in wanted:
            more["gradient"] = self._present_gradients() if step else mean_gradient(*self._sampling)
        if "memory" in wanted:
            more["memory"] = self.memory(score, step)
        return {
            name: evaluate(
                score,
                weight=weight.detach(),
                generator=generator,
                **{key: tensors[name] for key, tensors in more.items()},
            )
            for name, weight in self._weights.items()
        }

    def memory(self, score: Score, step: int) -> dict[str, Tensor]:
        """Returns what a score remembers of each weight in scope at a step."""
        assert isinstance(score, ScoreWithMemory)
        for running, memories in zip(self._running, self._memories, strict=True):
            if running is score and step:
                return memories
        memories = {}
        for gradients in batch_gradients(*self._sampling):
            _accumulate(score, memories, self._weights, gradients)
        return memories

    def ledger(self, module: LightningModule) -> Ledger:
        """The counts of the present masks, with each tensor's target where the distribution sets one."""
        network, budget = trained(module).network, self._budget
        if budget is None:
            return ledger(network, {}, self.target)
        targets = budget.targets({name: mask.shape for name, mask in self.masks.items()})
        return ledger(network, self.masks, budget.sparsity_of_scope(self._numel), targets)

    def looks_at_dense_gradient(self, step: int) -> bool:
        """Whether deciding the masks at a step takes the gradient of the weights that are zero."""
        return False

    @property
    def batches_before_training(self) -> int:
        """Batches whose gradients decide the first masks."""
        return 0

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

    @property
    def _sampling(self) -> tuple[Trainer, LightningModule, Mapping[str, Parameter], int]:
        """What taking gradients outside the steps of training needs."""
        return self._trainer, self._module, self._weights, self.gradient_batches

    def _present_gradients(self) -> dict[str, Tensor]:
        return {
            name: torch.zeros_like(weight) if weight.grad is None else weight.grad
            for name, weight in self._weights.items()
        }

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._trainer, self._module = trainer, pl_module
        if len(trainer.optimizers) > 1:
            raise ValueError(f"masks need one optimizer, not {len(trainer.optimizers)}")
        if self._budget is not None:
            self._budget = self._budget.on(trained(pl_module).network)
            self._weights = self._budget.scope.select(trained(pl_module).network)
        self.plan = self.make_plan(trained(pl_module).steps)
        if trainer.ckpt_path is not None and self._restored is None:
            raise ValueError(f"{trainer.ckpt_path} has no masks: it is not the checkpoint of a run of this kind")
        if self._restored is not None and (self._restored["masks"] or not self._weights):
            self._set(self._unpacked(self._restored["masks"]))
            self._memories = [
                {name: tensor.to(self._weights[name].device) for name, tensor in memories.items()}
                for memories in self._restored["memories"]
            ]
            self.moments.load_state_dict(self._restored["moments"])
            self.check()
        else:
            self._set(self.first_masks())
            self._zero_weights()
        self._restored = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for optimizer in () if self.moments.dirty else trainer.optimizers:  # which may have been that of a dense run
            for name, mask in self.masks.items():
                Zero().change(optimizer, name, self._weights[name], mask, mask)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        # Gradients are accumulated, all-reduced and unscaled here, and not yet clipped.
        step = trainer.global_step
        self._remember()
        if step > 0 and step in self.plan:
            self._change(optimizer, self.update(step, self.plan[step]))
            for logger in trainer.loggers:
                logger.log_metrics({"sparsity": self.sparsity}, step)
        for name, weight in self._weights.items():
            if weight.grad is not None:
                zero_(weight.grad, self.masks[name])

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.moments.dirty:
            self._zero_weights()

    def _remember(self) -> None:
        """Shows the gradients of a step to the scores that look back."""
        for score, memories in zip(self._running, self._memories, strict=True):
            _accumulate(score, memories, self._weights, self._present_gradients())

    def _change(self, optimizer: Optimizer, masks: Masks) -> None:
        """Takes new masks: moments and weights follow, and what scores remember since the last update is forgotten."""
        old = self.masks
        self._set(masks)
        for name, mask in masks.items():
            self.moments.change(optimizer, name, self._weights[name], old[name], mask)
        self._zero_weights()
        for score, memories in zip(self._running, self._memories, strict=True):
            if score.since_update:
                memories.clear()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.check()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.check()

    def state_dict(self) -> dict[str, Any]:
        self.check()
        return {
            "masks": {name: pack(mask).cpu() for name, mask in self.masks.items()},
            "memories": [{name: tensor.cpu() for name, tensor in memories.items()} for memories in self._memories],
            "moments": self.moments.state_dict(),
        }

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
        kept = counts(masks)
        self._numel, self._kept = sum(mask.numel() for mask in masks.values()), sum(kept.values())
        self.sparsity = 1 - self._kept / self._numel if masks else 0.0
        self.densities = {name: kept[name] / mask.numel() for name, mask in masks.items()}
        for name in (name for name, count in kept.items() if count == 0):
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


def _accumulate(
    score: ScoreWithMemory,
    memories: dict[str, Tensor],
    weights: Mapping[str, Parameter],
    gradients: Mapping[str, Tensor],
) -> None:
    """Adds one gradient of each weight to what a score remembers."""
    for name, weight in weights.items():
        memories[name] = score.accumulate(memories.get(name), weight.detach(), gradients[name])
