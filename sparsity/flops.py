"""How much work a network does, dense and as sparse: floating-point operations from the actual shapes and lengths.

A multiply-add counts as two operations. Only products with weight matrices and attention's two products count; what is
done element by element (activations, normalisation, softmax) and looking up embeddings do not.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

Densities = Mapping[str, float]


@final
@dataclass(frozen=True)
class Cost:
    """Operations of a forward pass, as a function of the number of sequences and their padded length.

    Args:
        per_token: of each weight matrix, by parameter name, where it multiplies every token.
        per_sequence: of each weight matrix that multiplies once per sequence, such as a pooler's.
        per_token_pair: of everything else, which is attention: it grows with the square of the length.
    """

    per_token: Mapping[str, float]
    per_sequence: Mapping[str, float]
    per_token_pair: float

    def forward(self, sequences: int, length: int, densities: Densities | None = None) -> float:
        """Returns the operations of one forward pass.

        Args:
            sequences: in the batch.
            length: tokens per sequence, padding included.
            densities: fraction of kept weights by parameter name; what is not named is dense.
        """
        densities = densities or {}
        tokens = sum(operations * densities.get(name, 1.0) for name, operations in self.per_token.items())
        whole = sum(operations * densities.get(name, 1.0) for name, operations in self.per_sequence.items())
        return sequences * (length * tokens + whole + length**2 * self.per_token_pair)

    def step(self, sequences: int, length: int, densities: Densities, gradient_densities: Densities) -> float:
        """Returns the operations of forward and backward pass, the latter costing twice the former.

        The gradients of the weights are half of the backward pass; where a method looks at the dense ones, they cost
        what they cost in the dense network (Evci et al. 2020, arXiv 1911.11134, appendix H).

        Args:
            gradient_densities: fraction of weights whose gradients are taken; what is not named is dense.
        """
        return 2 * self.forward(sequences, length, densities) + self.forward(sequences, length, gradient_densities)


def measure(network: nn.Module, run: Callable[[], object], sequences: int, length: int) -> Cost:
    """Returns the cost of a network, measured in one forward pass.

    Products of weights with each other, as LoRA's B A, do not count: they are gone once that is merged.

    Args:
        network: whose parameter names are used; a tied weight counts under its first name.
        run: passes a batch through it, without gradients.
        sequences: in that batch.
        length: tokens per sequence of that batch, more than 1.
    """
    # On a CPU attention is an operator of its own, which torch does not count by itself.
    more = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}
    with FlopCounterMode(display=False, custom_mapping=more) as counter:
        run()
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    counted = {key.partition(".")[2]: sum(ops.values()) for key, ops in counter.get_flop_counts().items()}
    per_token: dict[str, float] = {}
    per_sequence: dict[str, float] = {}
    for name, module in network.named_modules():
        weight = module._parameters.get("weight")  # its own: a wrapper shows that of the layer inside
        if weight is not None and counted.get(name):
            rows = counted[name] / (2 * weight.numel())
            where, times = (per_token, sequences * length) if rows >= sequences * length else (per_sequence, sequences)
            where[names[id(weight)]] = where.get(names[id(weight)], 0.0) + counted[name] / times
    known = sequences * (length * sum(per_token.values()) + sum(per_sequence.values()))
    rest = counter.get_total_flops() - known - _among_weights(network, counter)
    return Cost(per_token, per_sequence, rest / (sequences * length**2))


def _among_weights(network: nn.Module, counter: FlopCounterMode) -> int:
    """Returns the operations of matrix products that modules without a weight of their own do themselves."""
    counts = {key.partition(".")[2]: ops for key, ops in counter.get_flop_counts().items()}
    products = {
        name: sum(ops.get(operator, 0) for operator in (torch.ops.aten.mm, torch.ops.aten.addmm))
        for name, ops in counts.items()
    }
    return sum(
        products.get(name, 0) - sum(products.get(f"{name}.{child}", 0) for child, _ in module.named_children())
        for name, module in network.named_modules()
        if name and module._parameters.get("weight") is None
    )


def _attention(query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object) -> int:
    operations: int = sdpa_flop_count(query, key, value)  # type: ignore[no-untyped-call]
    return operations
