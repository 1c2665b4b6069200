"""Where things are in a BERT or RoBERTa: its layers, their parts, and the head above them."""

from collections.abc import Iterator, Sequence

from torch import nn
from torch.nn import Parameter
from transformers import PreTrainedModel

PARTS = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention_output": "attention.output",
    "intermediate": "intermediate",
    "output": "output",
}


def check_parts(parts: Sequence[str]) -> None:
    """Refuses what is no part of a layer.

    Raises:
        ValueError: there is none, or one that no layer has.
    """
    if isinstance(parts, str) or not parts:
        raise ValueError(f"tuning.parts={parts!r} must be a list of at least one of {', '.join(PARTS)}")
    for part in parts:
        if part not in PARTS:
            raise ValueError(f"tuning.parts has '{part}', which no layer has; its parts are {', '.join(PARTS)}")


def check_layers(layers: Sequence[int] | None) -> None:
    """Refuses what is no list of layer numbers, whatever the network.

    Raises:
        ValueError: it is empty, or has a number twice or something that is no number.
    """
    if layers is None:
        return
    if isinstance(layers, str) or not layers or len(set(layers)) < len(layers):
        raise ValueError(f"tuning.layers={layers} must name different layers, such as [5], or be null for all")
    for layer in layers:
        if type(layer) is not int or layer < 0:
            raise ValueError(f"tuning.layers has {layer!r}; layers are numbered from 0")


def numbered(network: PreTrainedModel, layers: Sequence[int] | None) -> list[tuple[str, nn.Module]]:
    """The chosen layers of a network's encoder with their names, in order; None = all.

    Raises:
        ValueError: the network has no such layer.
    """
    prefix = f"{network.base_model_prefix}.encoder.layer"
    stack = network.get_submodule(prefix)
    assert isinstance(stack, nn.ModuleList)
    for layer in layers or ():
        if layer >= len(stack):
            raise ValueError(f"tuning.layers has {layer}, but the network's layers are 0 to {len(stack) - 1}")
    return [(f"{prefix}.{n}", module) for n, module in enumerate(stack) if layers is None or n in layers]


def linears(network: PreTrainedModel, parts: Sequence[str], layers: Sequence[int] | None) -> list[str]:
    """Full names of the Linear layers of these parts of the chosen layers.

    Raises:
        ValueError: the network has no such layer.
    """
    found = []
    for name, layer in numbered(network, layers):
        for place in (PARTS[part] for part in parts):
            dense = hasattr(layer.get_submodule(place), "dense")
            found.append(f"{name}.{place}.dense" if dense else f"{name}.{place}")
    return found


def head(network: PreTrainedModel) -> Iterator[tuple[str, Parameter]]:
    """Names and parameters of what is above the encoder: pooler and classifier. A tied decoder is an embedding."""
    below = tuple(f"{network.base_model_prefix}.{part}." for part in ("embeddings", "encoder"))
    return ((name, weight) for name, weight in network.named_parameters() if not name.startswith(below))
