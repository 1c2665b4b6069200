"""How important a weight is: pure functions, higher = keep.

A score asks for what it needs by the names of its parameters: `weight`, `gradient` (of the loss, dense, shaped like the
weight), `generator` (a CPU generator, so that a seed gives the same draws on every device) and `memory` (see
`sparsity.memories`). Further parameters need defaults.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

Score = Callable[..., Tensor]

FROM_GRADIENTS = frozenset({"gradient", "memory"})
_INPUTS = ("weight", "gradient", "generator", "memory")


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


def needs(score: Score) -> frozenset[str]:
    """Returns the names of the inputs that a score asks for: its parameters that have no default and no partial binds.

    Raises:
        ValueError: if it asks for something that no caller has.
    """
    names = set()
    for name, parameter in inspect.signature(score).parameters.items():
        if parameter.default is not parameter.empty:
            continue
        if name not in _INPUTS or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ValueError(f"score {_name(score)} asks for '{name}', but a score can only have {', '.join(_INPUTS)}")
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
