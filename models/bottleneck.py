"""Bottleneck adapters: two small matrices in the way of a layer's output."""

from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from models.additions import note, place
from models.blocks import check_layers, numbered
from models.tuning import Tuning

POSITIONS = ("sequential", "parallel", "attention")


@final
class Adapter(nn.Module):
    """LayerNorm(x + dropout(up(tanh(down(x))))), with a LayerNorm of its own, as in PETL.

    It is no identity at the start: matrices are drawn from N(0, 0.02^2), as BERT's are, and what is normalised is no
    longer scaled and shifted as before.
    """

    def __init__(self, size: int, bottleneck: int, dropout: float, eps: float) -> None:
        super().__init__()
        self.down = nn.Linear(size, bottleneck)
        self.up = nn.Linear(bottleneck, size)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(size, eps)
        for linear in (self.down, self.up):
            nn.init.normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        adapted: Tensor = self.norm(x + self.dropout(self.up(torch.tanh(self.down(x)))))
        return adapted


@final
class Bottleneck(Tuning):
    """Trains an adapter in each chosen layer (PETL, https://github.com/PKU-TANGENT/Efficiency).

    Args:
        position: "sequential" = what the layer gives out goes through it; "attention" = what the attention block gives
            out does; "parallel" = it takes the place of the residual connection around the feed-forward block, so that
            the layer gives out LayerNorm(FFN(a) + adapter(a)).
        bottleneck: size between the two matrices.
        layers: numbers from 0; None = all.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, position: str, bottleneck: int, layers: Sequence[int] | None = None) -> None:
        if position not in POSITIONS:
            raise ValueError(f"tuning.position={position} must be one of {', '.join(POSITIONS)}")
        if bottleneck < 1:
            raise ValueError(f"tuning.bottleneck={bottleneck} must be at least 1")
        check_layers(layers)
        self.position = position
        self.bottleneck = bottleneck
        self.layers = layers

    def add(self, network: PreTrainedModel) -> None:
        config = network.config
        for name, layer in numbered(network, self.layers):
            block = "attention.output" if self.position == "attention" else "output"
            adapter = Adapter(config.hidden_size, self.bottleneck, config.hidden_dropout_prob, config.layer_norm_eps)
            place(network, f"{name}.{block}", "adapter", adapter)
            if self.position == "parallel":
                layer.get_submodule(block).register_forward_pre_hook(_around)
            else:
                layer.get_submodule(block).register_forward_hook(_behind)
        layers = None if self.layers is None else list(self.layers)
        note(network, "bottleneck", {"position": self.position, "bottleneck": self.bottleneck, "layers": layers})


def _behind(block: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    adapted: Tensor = block.adapter(output)
    return adapted


def _around(block: Any, inputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    hidden, bypass = inputs
    return hidden, block.adapter(bypass)
