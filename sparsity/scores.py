"""How important a weight is: pure functions, higher = keep.

A score asks for what it needs by the names of its parameters: `weight`, `gradient` (of the loss, dense, shaped like the
weight), `generator` (a CPU generator, so that a seed gives the same draws on every device), `memory` (see
`sparsity.memories`), `hessian_gradient` (the Hessian of the loss times its gradient, shaped like the weight),
`input_norm` (the L2 norm of each input of a Linear layer over all tokens of some batches, of shape (inputs,)) and
`flow_gradient` (of SynFlow's objective, in float64, shaped like the weight). Further parameters need defaults.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

Score = Callable[..., Tensor]

# What a score can ask for, and what making it costs beside training, in forward passes of the batches it is taken from.
# A backward pass costs two; Hg takes the gradient twice, the second time with a backward pass through both its passes.
FORWARD_PASSES = {
    "weight": 0,
    "gradient": 3,
    "generator": 0,
    "memory": 3,
    "hessian_gradient": 12,
    "input_norm": 1,
    "flow_gradient": 0,  # one token a round, without data
}


def magnitude(weight: Tensor) -> Tensor:
    """Returns |w|."""
    return weight.detach().abs()


def random(weight: Tensor, generator: Generator) -> Tensor:
    """Returns independent draws from [0, 1), shaped like the weight and on its device."""
    return torch.rand(weight.shape, generator=generator, dtype=torch.float32).to(weight.device)


def zero(weight: Tensor) -> Tensor:
    """Returns zeros: nothing is known yet."""
    return torch.zeros_like(weight)


def saliency(weight: Tensor, gradient: Tensor) -> Tensor:
    """Returns |w * dL/dw|: SNIP's connection sensitivity, not normalised (Lee et al. 2019, arXiv 1810.02340, eq. 6)."""
    return (weight.detach() * gradient).abs_()


def gradient_magnitude(gradient: Tensor) -> Tensor:
    """Returns |dL/dw|, by which RigL grows (Evci et al. 2020, arXiv 1911.11134, algorithm 1)."""
    return gradient.abs()


def gradient_flow(weight: Tensor, hessian_gradient: Tensor) -> Tensor:
    """Returns w * Hg: GraSP (Wang et al. 2020, arXiv 2002.07376, eq. 8).

    Removing a weight changes the squared norm of the gradient by about -2 w * Hg. The paper scores by -w * Hg and
    removes the highest, which keeps the gradient flowing.
    """
    return weight.detach() * hessian_gradient


def wanda(weight: Tensor, input_norm: Tensor) -> Tensor:
    """Returns |w_ij| * ||x_j||_2 (Sun et al. 2023, arXiv 2306.11695, eq. 1), the weight being (outputs, inputs)."""
    return weight.detach().abs() * input_norm


def synaptic_flow(weight: Tensor, flow_gradient: Tensor) -> Tensor:
    """Returns w * dR/dw in float64, where a deep network's products fit: the share of SynFlow's objective that passes
    through a weight (Tanaka et al. 2020, arXiv 2006.05467, eq. 2 and 6)."""
    return weight.detach().double() * flow_gradient


def magnitude_and_gradient(weight: Tensor, gradient: Tensor, factor: float = 0.01) -> Tensor:
    """Returns |w| + factor * |dL/dw|, by which MEST drops (Yuan et al. 2021, arXiv 2110.14032, section 3)."""
    return weight.detach().abs().add_(gradient.abs(), alpha=factor)


def needs(score: Score) -> frozenset[str]:
    """Returns the names of the inputs that a score asks for: its parameters that have no default and no partial binds.

    Raises:
        ValueError: if it asks for something that no caller has.
    """
    names = set()
    for name, parameter in inspect.signature(score).parameters.items():
        if parameter.default is not parameter.empty:
            continue
        if name not in FORWARD_PASSES or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            known = ", ".join(FORWARD_PASSES)
            raise ValueError(f"score {_name(score)} asks for '{name}', but a score can only have {known}")
        names.add(name)
    return frozenset(names)


def evaluate(score: Score, **inputs: Any) -> Tensor:
    """Calls a score with those of the inputs that it asks for.

    Raises:
        ValueError: if an input is missing.
    """
    wanted = needs(score)
    for name in sorted(wanted - inputs.keys()):
        raise ValueError(f"score {_name(score)} needs '{name}', but only {', '.join(sorted(inputs))} can be had here")
    return score(**{name: inputs[name] for name in wanted})


def _name(score: Score) -> str:
    """Returns the name of a function, also of one inside a partial."""
    return str(getattr(inspect.unwrap(getattr(score, "func", score)), "__name__", score))
