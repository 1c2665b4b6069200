"""How much flows through a transformer when it is made linear and positive: the objective of SynFlow."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

ACTIVATIONS = ("gelu", "relu", "silu", "swish", "tanh")


def flow(network: PreTrainedModel, weights: Mapping[str, Tensor], ids: Tensor) -> Tensor:
    """Returns R of SynFlow (Tanaka et al. 2020, arXiv 2006.05467, eq. 6), a scalar: the sum of what comes out of the
    product of the weights' absolute values when ones go in.

    Activations and LayerNorms are the identity and biases are zero. Of transformers the paper says nothing; here

    * what flows through an attention layer is the sum of its queries, keys and values, as if they were parallel paths:
      over tokens that are all equal softmax lets pass the values only, and queries and keys would be removed first;
    * residual connections are cut, because what bypasses a layer lets the layer be emptied, whereas in the paper's
      chain of layers each has all of the flow (theorem 2);
    * an embedding is a Linear layer over one-hot tokens, whose input is ones too: the sum of its rows comes out.

    Args:
        weights: replace those of the network, by name, and set the precision: float64 for deep networks.
        ids: one token, in the shape that the network takes.

    Raises:
        ValueError: the network has an activation function that is not a single operator.
    """
    if network.config.hidden_act not in ACTIVATIONS:
        raise ValueError(
            f"nothing is known of the flow through hidden_act={network.config.hidden_act}; it must be one of"
            f" {', '.join(ACTIVATIONS)}"
        )
    precision = next(iter(weights.values())).dtype
    others = {name: weight.detach().to(precision) for name, weight in network.named_parameters() if name not in weights}
    with _cut(network), _Linear():
        result: Tensor = functional_call(network, others | dict(weights), kwargs={"input_ids": ids}).logits.sum()
    return result


@contextmanager
def _cut(network: nn.Module) -> Iterator[None]:
    """Inside, the layers that add what bypassed them to their output, their second argument, get zeros for it."""
    adding = [module for module in network.modules() if hasattr(module, "dense") and hasattr(module, "LayerNorm")]
    with ExitStack() as stack:
        for module in adding:
            hook = module.register_forward_pre_hook(
                lambda _, inputs: (inputs[0], torch.zeros_like(inputs[1])) if len(inputs) > 1 else None
            )
            stack.callback(hook.remove)
        yield


def _same(tensor: Tensor, *_: Any, **__: Any) -> Tensor:
    return tensor


def _product(tensor: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return functional.linear(tensor, weight.abs())


def _rows(ids: Tensor, weight: Tensor, *_: Any, **__: Any) -> Tensor:
    return weight.abs().sum(0).expand(*ids.shape, -1)


def _paths(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> Tensor:
    tokens = query.shape[-2]  # a prefix adds keys and values that no token's flow passes
    return query + key[..., -tokens:, :] + value[..., -tokens:, :]


_LINEAR: dict[Callable[..., Any], Callable[..., Tensor]] = {
    functional.linear: _product,
    functional.embedding: _rows,
    functional.scaled_dot_product_attention: _paths,
    **dict.fromkeys((functional.layer_norm, functional.dropout, functional.gelu, functional.relu), _same),
    **dict.fromkeys((functional.silu, torch.tanh, Tensor.tanh, torch.relu), _same),
}


@final
class _Linear(TorchFunctionMode):
    """Inside, the functions that transformers are made of are replaced by linear, positive ones."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        replaced: Callable[..., Any] = _LINEAR.get(func, func)
        return replaced(*args, **(kwargs or {}))
