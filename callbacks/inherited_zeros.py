"""The zeros that a model comes with stay zero wherever the method of the run decides nothing."""

import logging
from typing import Any, final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from callbacks.sparsifier import Sparsifier
from callbacks.trained import trained
from sparsity.inherited import inherited
from sparsity.ledger import counts
from sparsity.masks import leaks, pack, unpack, zero_

log = logging.getLogger(__name__)


@final
class InheritedZeros(Callback):
    """Masks what is out of a sparsifier's scope as the initial weights are, and says so where there is anything.

    Attributes:
        masks: by parameter name; none for a model without zeros.
        densities: fractions of kept weights by name.

    Args:
        sparsifier: decides what is in its scope; see there for what becomes of zeros that the weights in scope have.
    """

    def __init__(self, sparsifier: Sparsifier) -> None:
        self.sparsifier = sparsifier
        self.masks: dict[str, Tensor] = {}
        self.densities: dict[str, float] = {}
        self._weights: dict[str, Parameter] = {}
        self._found: dict[str, Tensor] = {}
        self._restored: dict[str, Tensor] | None = None

    @property
    def sparsity(self) -> float:
        """Of the tensors that have masks here."""
        numel = sum(mask.numel() for mask in self.masks.values())
        return 1 - sum(counts(self.masks).values()) / numel if numel else 0.0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":  # before the sparsifier makes zeros of its own
            self._found = inherited(trained(pl_module).network)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        weights, theirs = dict(trained(pl_module).network.named_parameters()), self.sparsifier.masks
        if self._restored is not None:
            self._found = {name: unpack(bits, weights[name].shape) for name, bits in self._restored.items()}
        found = {name: mask.to(weights[name].device) for name, mask in self._found.items()}
        self._found, self._restored = {}, None
        if self.sparsifier.keeps_zeros:
            self.masks = {name: mask for name, mask in found.items() if name not in theirs}
            self._weights = {name: weights[name] for name in self.masks}
            kept = counts(self.masks)
            self.densities = {name: kept[name] / mask.numel() for name, mask in self.masks.items()}
        if self.masks:
            log.warning(
                "%d of the model's tensors come with zeros, %.2f%% of them, which stay zero; %s is the first",
                *(len(self.masks), 100 * self.sparsity, next(iter(self.masks))),
            )
        free = sum(
            int((theirs.get(name, ~mask) & ~mask).sum()) for name, mask in found.items() if name not in self.masks
        )
        if free:
            log.warning("%d weights that the model has at zero may change: this method decides about them", free)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        # Moments were never anything but zero there, so that no optimizer moves these weights.
        for name, weight in self._weights.items():
            if weight.grad is not None:
                zero_(weight.grad, self.masks[name])

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.check()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.check()

    def check(self) -> None:
        """Raises RuntimeError if one of the zeros is none any more."""
        if self.masks:
            leaking = torch.stack([leaks(self._weights[name], mask) for name, mask in self.masks.items()]).tolist()
            for name, count in zip(self.masks, leaking, strict=True):
                if count:
                    raise RuntimeError(f"{count} weights of {name} that came as zeros are not zero")

    def state_dict(self) -> dict[str, Any]:
        self.check()
        return {"masks": {name: pack(mask).cpu() for name, mask in self.masks.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restored = state_dict["masks"]
