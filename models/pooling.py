"""What a head sees of a sequence, and through which layers: PETL's head, the same for BERT and RoBERTa."""

from typing import Any, final

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from models.additions import note, place


@final
class Pooled(nn.Module):
    """The state that a head sees: the first token's, or the mean over all tokens that are no padding.

    It has no weights; its buffer `mean` is saved, so that transformers alone reports a head that it would compute
    otherwise.
    """

    def __init__(self, mean: bool) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.over_all = mean
        self.mask: Tensor | None = None  # of the tokens of the present sequences

    def forward(self, states: Tensor) -> Tensor:
        """Returns (sequences, 1, size) of states (sequences, tokens, size)."""
        if not self.over_all:
            return states[:, :1]
        real = torch.ones_like(states[..., :1]) if self.mask is None else self.mask[..., None].to(states.dtype)
        return (states * real).sum(1, keepdim=True) / real.sum(1, keepdim=True)


@final
class Pooling:
    """RoBERTa's classification head on either family: dropout, dense layer, tanh, dropout, output (PETL's code).

    BERT's pooler, which its pretraining has seen, becomes that dense layer, drawn anew and with dropout before it.

    Args:
        mean: whether the head sees the mean over all tokens, special ones included, or the first token.
    """

    def __init__(self, mean: bool) -> None:
        self.mean = mean

    def renew(self, network: PreTrainedModel) -> set[str]:
        """Gives a network this head and returns the names of the weights that are new by that.

        Raises:
            ValueError: it has been given one before, or its head pools nothing.
        """
        owner = self.add(network)
        if not owner.startswith(network.base_model_prefix) or network.config.model_type != "bert":
            return set()
        dense = network.get_submodule(f"{owner}.dense")
        assert isinstance(dense, nn.Linear)
        nn.init.normal_(dense.weight, std=network.config.initializer_range)
        nn.init.zeros_(dense.bias)
        return {f"{owner}.dense.{name}" for name, _ in dense.named_parameters()}

    def add(self, network: PreTrainedModel) -> str:
        """Gives a network this head, with the weights that it has, and returns the name of the part that pools.

        Raises:
            ValueError: as `renew`.
        """
        owner = _owner(network)
        part, pooled = network.get_submodule(owner), Pooled(self.mean)
        place(network, owner, "pooled", pooled)

        def looking(_: nn.Module, args: tuple[Any, ...], given: dict[str, Any]) -> None:
            pooled.mask = given.get("attention_mask")

        network.base_model.register_forward_pre_hook(looking, with_kwargs=True)
        part.register_forward_pre_hook(lambda _, inputs: (pooled(inputs[0]), *inputs[1:]))
        dropout = getattr(network, "dropout", None)
        if isinstance(dropout, nn.Dropout):  # else RoBERTa's head drops before its dense layer by itself
            part.get_submodule("dense").register_forward_pre_hook(lambda _, inputs: (dropout(inputs[0]),))
        note(network, "pooling", {"mean": self.mean})
        return owner


def _owner(network: PreTrainedModel) -> str:
    """The name of the part that takes the states of all tokens and has a dense layer: a pooler, or RoBERTa's head."""
    for name in (f"{network.base_model_prefix}.pooler", "classifier"):
        try:
            if isinstance(network.get_submodule(name).get_submodule("dense"), nn.Linear):
                return name
        except AttributeError:
            continue
    raise ValueError("model.pooling needs a head that sees one state of a sequence, which that of this task does not")
