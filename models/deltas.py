"""What is trained instead of a weight matrix and can be merged into it: LoRA, (IA)^3 and deltas of any shape.

A weight that is zero stays zero: W + D is computed as (W + D) * (W != 0), so that what was or is being pruned of W is
pruned of the sum, and merging changes nothing but rounding.
"""

from collections.abc import Sequence
from typing import Any, final

import torch
from peft import IA3Config, LoraConfig, PeftConfig, inject_adapter_in_model
from peft.tuners import lora
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from torch.func import functional_call
from transformers import PreTrainedModel

from models.blocks import PARTS, check_layers, check_parts, linears
from models.tuning import Tuning


@final
class SparseLora(lora.Linear):
    """peft's LoRA layer, with the zeros of its base layer."""

    base_layer: nn.Linear

    def get_delta_weight(self, adapter: str) -> Tensor:
        return _on_kept(self.base_layer.weight, super().get_delta_weight(adapter))

    def forward(self, x: Tensor) -> Tensor:
        return self.base_layer(x) if self.merged else _with(self.base_layer, self.get_delta_weight("default"), x)


@final
class Delta(nn.Module):
    """A Linear layer with the weight W + D, W frozen and D, of the same shape, trained from zero."""

    def __init__(self, base_layer: nn.Linear) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.delta = nn.Parameter(torch.zeros_like(base_layer.weight))

    def forward(self, x: Tensor) -> Tensor:
        return _with(self.base_layer, _on_kept(self.base_layer.weight, self.delta), x)

    def merge(self, safe_merge: bool = True) -> None:
        self.base_layer.weight.data += _on_kept(self.base_layer.weight, self.delta.detach())

    def get_base_layer(self) -> nn.Linear:
        return self.base_layer


@final
class Lora(Tuning):
    """Trains W + alpha / rank * B A (Hu et al. 2022, arXiv 2106.09685) through peft; A is Gaussian, B starts at zero.

    Args:
        rank: of B A.
        alpha: scales the sum; equal to the rank it does nothing.
        parts: of each layer, whose matrices these are.
        layers: numbers from 0; None = all.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, rank: int, alpha: float, parts: Sequence[str], layers: Sequence[int] | None = None) -> None:
        if rank < 1:
            raise ValueError(f"tuning.rank={rank} must be at least 1")
        if alpha <= 0:
            raise ValueError(f"tuning.alpha={alpha} must be positive")
        check_parts(parts)
        check_layers(layers)
        self.rank = rank
        self.alpha = alpha
        self.parts = parts
        self.layers = layers

    def add(self, network: PreTrainedModel) -> None:
        targets = linears(network, self.parts, self.layers)
        alpha: Any = self.alpha  # a factor, of which peft says that it is a whole number
        config = LoraConfig(r=self.rank, lora_alpha=alpha, target_modules=targets, init_lora_weights="gaussian")
        config._register_custom_module({nn.Linear: SparseLora})
        _inject(network, config, targets)


@final
class Ia3(Tuning):
    """Trains factors of keys, values and the inputs of the second feed-forward matrix ((IA)^3, Liu et al. 2022, arXiv
    2205.05638) through peft; they start at one.

    Args:
        parts: of each layer; "output" is scaled by what goes in, all others by what comes out.
        layers: numbers from 0; None = all.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, parts: Sequence[str], layers: Sequence[int] | None = None) -> None:
        check_parts(parts)
        check_layers(layers)
        self.parts = parts
        self.layers = layers

    def add(self, network: PreTrainedModel) -> None:
        targets = linears(network, self.parts, self.layers)
        inputs = linears(network, ["output"], self.layers) if "output" in self.parts else []
        _inject(network, IA3Config(target_modules=targets, feedforward_modules=inputs), targets)


@final
class Deltas(Tuning):
    """Trains W + D, with D a matrix of W's shape: sparse as soon as a method prunes D (scope=adapters).

    Which weights are updated is then the method's affair: chosen once (as in SHiRA, Bhardwaj et al. 2024, arXiv
    2406.13175, whose layer in peft knows neither zeros of W nor other choices), or learned, as by RigL.

    Args:
        parts: of each layer, whose matrices these are.
        layers: numbers from 0; None = all.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, parts: Sequence[str] = tuple(PARTS), layers: Sequence[int] | None = None) -> None:
        check_parts(parts)
        check_layers(layers)
        self.parts = parts
        self.layers = layers

    def add(self, network: PreTrainedModel) -> None:
        for name in linears(network, self.parts, self.layers):
            network.set_submodule(name, Delta(_linear(name, network.get_submodule(name))))


@torch.no_grad()
def merge(network: PreTrainedModel) -> PreTrainedModel:
    """Returns the network, changed in place, as a plain one: deltas are added to their weights, factors multiplied.

    Raises:
        RuntimeError: a zero of a weight would be lost, or a sum is not finite.
    """
    for name, module in list(network.named_modules()):
        if isinstance(module, BaseTunerLayer | Delta):
            linear = module.get_base_layer()
            assert isinstance(linear, nn.Linear)
            zeros = linear.weight == 0
            module.merge(safe_merge=True)
            if linear.weight[zeros].any() or not linear.weight.isfinite().all():
                raise RuntimeError(f"merging into {name} does not keep its zeros, or its weights are not finite")
            network.set_submodule(name, linear)
    return network


def _inject(network: PreTrainedModel, config: PeftConfig, targets: Sequence[str]) -> None:
    for name in targets:
        _linear(name, network.get_submodule(name))
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    inject_adapter_in_model(config, network)  # which freezes all else
    del network.peft_config  # or else a second injection takes it for one of the same layers
    for parameter in trained:
        parameter.requires_grad_()


def _linear(name: str, module: nn.Module) -> nn.Linear:
    if not isinstance(module, nn.Linear):
        raise ValueError(f"{name} is tuned twice; give the tunings different parts or layers")
    return module


def _on_kept(weight: Tensor, delta: Tensor) -> Tensor:
    return torch.where(weight != 0, delta, 0.0)


def _with(linear: nn.Linear, delta: Tensor, x: Tensor) -> Tensor:
    """Calls a layer with another weight, so that whatever looks at the layer sees it called."""
    product: Tensor = functional_call(linear, {"weight": linear.weight + delta}, (x,))
    return product
