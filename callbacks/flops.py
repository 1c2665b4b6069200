"""Counts the work of training and of inference, as the masks would allow it."""

from typing import Any, final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from callbacks.inherited_zeros import InheritedZeros
from callbacks.sparsifier import Sparsifier
from callbacks.trained import in_evaluation_mode, of_ranks, trained
from sparsity.flops import Cost, measure
from sparsity.inherited import inherited


@final
class Flops(Callback):
    """Adds up the floating-point operations of a run (Evci et al. 2020, arXiv 1911.11134, appendix H).

    Zeros are taken to cost nothing, whatever the hardware makes of them: the numbers say what a method could save, not
    what it saved. Gradients that a method takes before training are dense and count. So do the forward passes of other
    networks that each training batch goes through, as of a teacher.

    Args:
        sparsifier: knows the densities of the weights, and of the gradients that a step takes.
        zeros: knows those of weights out of its scope.
        own: whether a checkpoint that is gone on from is of the same run.
    """

    def __init__(self, sparsifier: Sparsifier, zeros: InheritedZeros, own: bool) -> None:
        self.sparsifier = sparsifier
        self.zeros = zeros
        self.own = own
        self.train = 0.0
        self._costs: dict[nn.Module, Cost] = {}
        self._asked: dict[nn.Module, dict[str, float]] = {}  # densities of networks that only say something
        self._validation = {"sparse": 0.0, "dense": 0.0, "examples": 0.0}

    def result(self, trainer: Trainer) -> dict[str, float]:
        """Returns operations: of the whole training, and of the inference of one example, sparse and dense.

        Examples are those of the validation split, in batches as they are evaluated, padding included.
        """
        totals = [self.train, *self._validation.values()]
        if trainer.world_size > 1:
            device = trainer.strategy.root_device
            totals = trainer.strategy.reduce(torch.tensor(totals, device=device), reduce_op="sum").tolist()
        train, sparse, dense, examples = totals
        examples = examples or 1.0  # where there is no validation split, there is nothing to tell
        return {"train": train, "inference": sparse / examples, "dense_inference": dense / examples}

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        cost, (_, sequences, length) = self._measured(trainer, pl_module, batch), trained(pl_module).size(batch)
        step = trainer.global_step
        dense = _frozen(trained(pl_module).network)
        gradients = {**self.zeros.densities, **self.sparsifier.gradient_densities(step), **dense}
        self.train += cost.step(sequences, length, self._densities, gradients)
        # Whatever batches are looked at, they are taken to be as large as this one. Before training all is dense.
        densities = self._densities if step else None
        self.train += self.sparsifier.forward_passes(step) * cost.forward(sequences, length, densities)
        for other in trained(pl_module).asked:
            cost = self._measured(trainer, pl_module, batch, other)
            if other not in self._asked:
                self._asked[other] = {n: float(mask.float().mean()) for n, mask in inherited(other).items()}
            self.train += cost.forward(sequences, length, self._asked[other])

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validation = dict.fromkeys(self._validation, 0.0)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        cost, (examples, sequences, length) = self._measured(trainer, pl_module, batch), trained(pl_module).size(batch)
        self._validation["sparse"] += cost.forward(sequences, length, self._densities)
        self._validation["dense"] += cost.forward(sequences, length)
        self._validation["examples"] += examples

    @property
    def _densities(self) -> dict[str, float]:
        return {**self.zeros.densities, **self.sparsifier.densities}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.own = self.own and trainer.is_global_zero  # the state is that of all ranks, and is not counted twice

    def state_dict(self) -> dict[str, Any]:
        parts = of_ranks({"train": self.train, "validation": self._validation})
        validation = {name: sum(part["validation"][name] for part in parts) for name in self._validation}
        return {"train": sum(part["train"] for part in parts), "validation": validation}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if not self.own:
            return
        self.train, self._validation = state_dict["train"], state_dict["validation"]

    def _measured(self, trainer: Trainer, module: LightningModule, batch: Any, other: nn.Module | None = None) -> Cost:
        network = trained(module).network if other is None else other
        if network not in self._costs:
            _, sequences, length = trained(module).size(batch)
            with in_evaluation_mode(module), torch.no_grad(), trainer.precision_plugin.forward_context():
                self._costs[network] = measure(
                    network, lambda: trained(module).outputs(batch, network), sequences, length
                )
        return self._costs[network]


def _frozen(network: nn.Module) -> dict[str, float]:
    """Returns gradient densities of 0 for weights whose gradients no step takes.

    A matrix to which a trained one is added passes its gradient on to that.
    """
    weights = network.named_parameters()
    return {name: 0.0 for name, weight in weights if not (weight.requires_grad or ".base_layer." in name)}
