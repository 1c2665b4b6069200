"""Gradients outside the steps of training, for scores that need them."""

from collections.abc import Iterator, Mapping
from itertools import islice

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.nn import Parameter

from callbacks.trained import in_evaluation_mode, trained

Gradients = dict[str, Tensor]


def mean_gradient(
    trainer: Trainer, module: LightningModule, weights: Mapping[str, Parameter], batches: int
) -> Gradients:
    """Returns the mean gradient of the loss over the next training batches; see `batch_gradients`."""
    total: Gradients = {}
    for gradients in batch_gradients(trainer, module, weights, batches):
        total = {name: total[name] + gradient for name, gradient in gradients.items()} if total else gradients
    return {name: gradient / batches for name, gradient in total.items()} if batches > 1 else total


def batch_gradients(
    trainer: Trainer, module: LightningModule, weights: Mapping[str, Parameter], batches: int
) -> Iterator[Gradients]:
    """Yields the gradient of the loss of each of the next training batches, in evaluation mode.

    Leaves no trace: modes, the parameters' gradients, random numbers and the position in the training data are as
    before. A weight that the loss does not depend on has gradient zero.

    Args:
        batches: number of batches, each as large as an optimizer step's.

    Raises:
        ValueError: the run has fewer batches.
    """
    accumulate = int(trainer.accumulate_grad_batches)
    loader = trained(module).train_dataloader()
    if not 1 <= batches <= len(loader) // accumulate:
        raise ValueError(
            f"method.sparsifier.gradient_batches={batches} must be at least 1 and at most the run's"
            f" {len(loader) // accumulate} training batches"
        )
    names, parameters = list(weights), list(weights.values())
    micro_batches = islice(loader, batches * accumulate)
    for _ in range(batches):
        total: list[Tensor] = []
        with in_evaluation_mode(module), torch.enable_grad():
            for batch in islice(micro_batches, accumulate):
                with trainer.precision_plugin.forward_context():
                    loss = trained(module).loss(trainer.strategy.batch_to_device(batch)) / accumulate
                found = torch.autograd.grad(loss, parameters, materialize_grads=True)
                total = [old + new for old, new in zip(total, found, strict=True)] if total else list(found)
        yield {name: _mean_over_ranks(trainer, gradient) for name, gradient in zip(names, total, strict=True)}


def _mean_over_ranks(trainer: Trainer, gradient: Tensor) -> Tensor:
    reduced = trainer.strategy.reduce(gradient, reduce_op="mean")
    assert isinstance(reduced, torch.Tensor)
    return reduced
