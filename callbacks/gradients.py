"""Gradients outside the steps of training, for scores that need them."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.nn import Parameter
from torch.nn.attention import SDPBackend, sdpa_kernel

from callbacks.trained import batches_ahead, in_evaluation_mode, over_ranks, trained

Gradients = dict[str, Tensor]
Derivative = Callable[[Callable[[], Tensor], Sequence[Tensor]], Sequence[Tensor]]


def mean_gradient(
    trainer: Trainer, module: LightningModule, weights: Mapping[str, Parameter], batches: int
) -> Gradients:
    """Returns the mean gradient of the loss over the next training batches; see `batch_gradients`."""
    return _mean(batch_gradients(trainer, module, weights, batches), batches)


def hessian_gradient(
    trainer: Trainer, module: LightningModule, weights: Mapping[str, Parameter], batches: int
) -> Gradients:
    """Returns Hg, with H the Hessian and g the gradient, by these weights, of the mean loss over the next batches.

    Each batch's gradient times g, which is held constant, is differentiated once more. The batches are passed twice.
    """
    mean = mean_gradient(trainer, module, weights, batches).values()

    def product(loss: Callable[[], Tensor], parameters: Sequence[Tensor]) -> Sequence[Tensor]:
        with sdpa_kernel(SDPBackend.MATH):  # fused attention has no second derivative
            found = torch.autograd.grad(loss(), parameters, create_graph=True, materialize_grads=True)
            along = [(gradient * constant).sum() for gradient, constant in zip(found, mean, strict=True)]
            return _gradient(lambda: torch.stack(along).sum(), parameters)

    return _mean(batch_gradients(trainer, module, weights, batches, product), batches)


def flow_gradient(module: LightningModule, weights: Mapping[str, Parameter]) -> Gradients:
    """Returns the gradient, in float64, of what flows through the network without data."""
    doubles = {name: weight.detach().double().requires_grad_() for name, weight in weights.items()}
    with in_evaluation_mode(module), torch.enable_grad():
        found = _gradient(lambda: trained(module).flow(doubles), list(doubles.values()))
    return dict(zip(doubles, found, strict=True))


def _gradient(loss: Callable[[], Tensor], parameters: Sequence[Tensor]) -> Sequence[Tensor]:
    return torch.autograd.grad(loss(), parameters, materialize_grads=True)


def batch_gradients(
    trainer: Trainer,
    module: LightningModule,
    weights: Mapping[str, Parameter],
    batches: int,
    derivative: Derivative = _gradient,
) -> Iterator[Gradients]:
    """Yields the gradient of the loss of each of the next training batches, in evaluation mode.

    Leaves no trace: modes, the parameters' gradients, random numbers and the position in the training data are as
    before. A weight that the loss does not depend on has gradient zero.

    Args:
        batches: number of batches, each as large as an optimizer step's.
        derivative: of a micro-batch's loss, something that adds up over micro-batches.
    """
    names, parameters = list(weights), list(weights.values())
    accumulate = int(trainer.accumulate_grad_batches)
    for micro_batches in batches_ahead(trainer, module, batches):
        total: list[Tensor] = []
        with in_evaluation_mode(module), torch.enable_grad():
            for batch in micro_batches:

                def loss(batch: object = batch) -> Tensor:
                    with trainer.precision_plugin.forward_context():
                        return trained(module).loss(batch) / accumulate

                found = derivative(loss, parameters)
                total = [old + new for old, new in zip(total, found, strict=True)] if total else list(found)
        yield {name: over_ranks(trainer, "mean", gradient) for name, gradient in zip(names, total, strict=True)}


def _mean(gradients: Iterator[Gradients], batches: int) -> Gradients:
    total: Gradients = {}
    for found in gradients:
        total = {name: total[name] + gradient for name, gradient in found.items()} if total else found
    return {name: gradient / batches for name, gradient in total.items()} if batches > 1 else total
