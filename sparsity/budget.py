"""How many weights stay and where: target sparsity, scope and distribution as one value."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import final

import torch
from torch import Tensor

from sparsity.distributions import Distribution
from sparsity.scope import Scope
from sparsity.selection import top


def kept(numel: int, sparsity: float) -> int:
    """Returns how many of `numel` weights stay at a sparsity in [0, 1]: the one place where counts are rounded.

    Rounds half to even, and reads the sparsity as the decimal number it is written as, so that 0.8 of 10 keeps 2.
    """
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparsity={sparsity} must be at least 0 and at most 1")
    return round(numel * (1 - Fraction(repr(float(sparsity)))))


@final
@dataclass(frozen=True)
class Budget:
    """What a method may keep.

    Args:
        sparsity: target fraction of zeros among the weights in scope, in [0, 1).
        scope: the tensors that may be zeroed.
        distribution: how the weights that stay are spread over these tensors.
    """

    sparsity: float
    scope: Scope
    distribution: Distribution

    def __post_init__(self) -> None:
        if not 0 <= self.sparsity < 1:
            raise ValueError(f"sparsity={self.sparsity} must be at least 0 and below 1, such as 0.8")

    def masks(self, scores: Mapping[str, Tensor], sparsity: float | None = None) -> dict[str, Tensor]:
        """Returns the mask of each tensor, which keeps its highest scores.

        Args:
            scores: of every weight in scope, shaped like the weights; higher = keep.
            sparsity: of a schedule's intermediate step; the target by default.

        Raises:
            ValueError: if the distribution cannot meet the sparsity, or a score is NaN.
        """
        shapes = {name: score.shape for name, score in scores.items()}
        sparsity = self.sparsity if sparsity is None else sparsity
        numel = sum(shape.numel() for shape in shapes.values())
        keep = kept(numel, sparsity)
        if keep == 0:
            raise ValueError(f"sparsity={sparsity} keeps none of the {numel} weights in scope")
        masks: dict[str, Tensor] = {}
        for group in self.distribution.groups(shapes, keep):
            try:
                selected = top([scores[name] for name in group.names], group.keep)
            except ValueError as error:
                for name in group.names:
                    if bool(scores[name].isnan().any()):
                        raise ValueError(f"a score of {name} is NaN, so that its weights cannot be ranked") from error
                raise
            masks |= zip(group.names, selected, strict=True)
        return {name: masks[name] for name in scores}

    def targets(self, shapes: Mapping[str, torch.Size]) -> dict[str, int | None]:
        """Returns how many weights each tensor should keep; None where tensors compete for a common count."""
        groups = self.distribution.groups(shapes, kept(sum(s.numel() for s in shapes.values()), self.sparsity))
        return {name: group.keep if len(group.names) == 1 else None for group in groups for name in group.names}
