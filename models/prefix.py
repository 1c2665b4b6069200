"""Prefixes: keys and values that every token attends to, beside those of the tokens."""

from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from models.additions import note, place
from models.blocks import check_layers, numbered
from models.tuning import Tuning


@final
class KeysAndValues(nn.Module):
    """`length` keys and values of an attention layer, each (length, hidden size), drawn from N(0, 0.02^2)."""

    def __init__(self, length: int, size: int) -> None:
        super().__init__()
        self.keys = nn.Parameter(torch.randn(length, size) * 0.02)
        self.values = nn.Parameter(torch.randn(length, size) * 0.02)

    def update(self, keys: Tensor, values: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
        """Returns keys and values, (sequences, heads, tokens, size of a head), with these before them."""
        return _before(self.keys, keys), _before(self.values, values)


@final
class Prefix(Tuning):
    """Trains prefixes in the chosen layers (Li & Liang 2021, arXiv 2101.00190), as in PETL: without reparameterisation.

    They have no positions of their own: those of the tokens stay. peft's are in all layers at once, move the positions
    and do not go with multiple choice, hence this one.

    Args:
        length: keys and values per layer.
        layers: numbers from 0; None = all.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, length: int, layers: Sequence[int] | None = None) -> None:
        if length < 1:
            raise ValueError(f"tuning.length={length} must be at least 1")
        check_layers(layers)
        self.length = length
        self.layers = layers

    def add(self, network: PreTrainedModel) -> None:
        for name, layer in numbered(network, self.layers):
            place(network, f"{name}.attention.self", "prefix", KeysAndValues(self.length, network.config.hidden_size))
            layer.get_submodule("attention.self").register_forward_pre_hook(_attending, with_kwargs=True)
        layers = None if self.layers is None else list(self.layers)
        note(network, "prefix", {"length": self.length, "layers": layers})


def _attending(attention: Any, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Passes the prefix for what attention takes to be the keys and values of earlier tokens, and lets all see it."""
    mask: Tensor | None = given.get("attention_mask")
    if mask is not None:
        seen = 1 if mask.dtype == torch.bool else 0.0  # what is added to a score
        mask = functional.pad(mask, (len(attention.prefix.keys), 0), value=seen)
    return args, {**given, "attention_mask": mask, "past_key_values": attention.prefix}


def _before(prefix: Tensor, tokens: Tensor) -> Tensor:
    sequences, heads, _, size = tokens.shape
    first = prefix.view(-1, heads, size).transpose(0, 1).expand(sequences, -1, -1, -1)
    return torch.cat([first.to(tokens.dtype), tokens], dim=2)
