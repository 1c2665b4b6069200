"""Gradients before training, for scores that need them."""

from collections.abc import Mapping
from itertools import islice

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.nn import Parameter

from callbacks.trained import in_evaluation_mode, trained


def batch_gradients(
    trainer: Trainer, module: LightningModule, weights: Mapping[str, Parameter], batches: int
) -> dict[str, Tensor | None]:
    """Returns the mean gradient of the loss over the first training batches, in evaluation mode.

    Leaves no trace: modes, gradients, random numbers and the position in the training data are as before.

    Args:
        batches: number of batches, each as large as an optimizer step's.

    Raises:
        ValueError: the run has fewer batches.
    """
    count = batches * trainer.accumulate_grad_batches
    loader = trained(module).train_dataloader()
    if batches < 1 or count > len(loader):
        raise ValueError(
            f"method.sparsifier.gradient_batches={batches} must be at least 1 and at most the run's"
            f" {len(loader) // trainer.accumulate_grad_batches} training batches"
        )
    try:
        with in_evaluation_mode(module):
            for batch in islice(loader, count):
                with trainer.precision_plugin.forward_context():
                    loss = trained(module).loss(trainer.strategy.batch_to_device(batch)) / count
                loss.backward()  # type: ignore[no-untyped-call]
        gradients = {name: weight.grad for name, weight in weights.items()}
        return {name: None if grad is None else _mean_over_ranks(trainer, grad) for name, grad in gradients.items()}
    finally:
        module.zero_grad(set_to_none=True)


def _mean_over_ranks(trainer: Trainer, gradient: Tensor) -> Tensor:
    reduced = trainer.strategy.reduce(gradient.clone(), reduce_op="mean")
    assert isinstance(reduced, torch.Tensor)
    return reduced
