"""How large the inputs of weights are, for scores that need it."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.nn import Parameter

from callbacks.trained import batches_ahead, in_evaluation_mode, over_ranks, trained


def input_norms(
    trainer: Trainer, module: LightningModule, weights: Mapping[str, Parameter], batches: int
) -> dict[str, Tensor]:
    """Returns the L2 norm of each input feature of the Linear layers that own these weights, of shape (inputs,).

    Over all tokens of the next training batches, in evaluation mode. Padding does not count, but where a layer sees one
    vector per sequence all of them do.

    Raises:
        ValueError: a weight belongs to another kind of layer.
    """
    owners = {name: _owner(trained(module).network, name) for name in weights}
    squares = {name: torch.zeros(owner.in_features, device=owner.weight.device) for name, owner in owners.items()}
    with in_evaluation_mode(module), torch.no_grad(), trainer.precision_plugin.forward_context():
        for micro_batches in batches_ahead(trainer, module, batches):
            for batch in micro_batches:
                tokens = trained(module).tokens(batch)
                with ExitStack() as hooks:
                    for name, owner in owners.items():
                        hooks.callback(owner.register_forward_pre_hook(_adding(squares[name], tokens)).remove)
                    trained(module).outputs(batch)
    return {name: over_ranks(trainer, "sum", total).sqrt_() for name, total in squares.items()}


def _owner(network: nn.Module, name: str) -> nn.Linear:
    owner = network.get_submodule(name.rpartition(".")[0])
    if not isinstance(owner, nn.Linear):
        raise ValueError(
            f"{name} belongs to a layer of the type {type(owner).__name__}, whose inputs have no norm; take a"
            f" scope of Linear layers, such as scope=encoder"
        )
    return owner


def _adding(total: Tensor, tokens: Tensor) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    """Returns a hook that adds the squares of a layer's input features, where there are tokens."""

    def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        features = inputs[0].float()
        if features.shape[:-1] == tokens.shape:
            features = features[tokens]
        total.add_(features.square().flatten(end_dim=-2).sum(0))

    return hook
