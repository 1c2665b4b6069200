"""How many weights stay and where: target sparsity, scope, distribution and pattern as one value."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import final

import torch
from torch import Tensor, nn

from sparsity.denominators import Denominator, OfScope
from sparsity.distributions import Distribution
from sparsity.patterns import Pattern, Unstructured
from sparsity.scope import Scope

log = logging.getLogger(__name__)


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
        sparsity: target fraction of zeros, in [0, 1).
        scope: the tensors that may be zeroed.
        distribution: how the weights that stay are spread over these tensors.
        pattern: what is kept or dropped together.
        of: what the sparsity, and those of a schedule's intermediate steps, are fractions of.
        outside: weights that count and are not in scope; `on` finds their number.
    """

    sparsity: float
    scope: Scope
    distribution: Distribution
    pattern: Pattern = Unstructured()  # noqa: RUF009 - frozen
    of: Denominator = OfScope()  # noqa: RUF009 - frozen
    outside: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.sparsity < 1:
            raise ValueError(f"sparsity={self.sparsity} must be at least 0 and below 1, such as 0.8")
        if isinstance(self.of, OfScope) and self.pattern.only not in (None, self.sparsity):
            raise ValueError(
                f"sparsity={self.sparsity} is none that pattern={self.pattern.label} has, as a target or as a level;"
                f" use sparsity={self.pattern.only}"
            )

    def on(self, network: nn.Module) -> "Budget":
        """Returns the budget of a network, of which the weights out of scope are counted, and logged, where they count.

        Raises:
            ValueError: if nothing is in scope, the scope has no such weights as the pattern needs, or the target cannot
            be met.
        """
        weights = self.scope.select(network)
        shapes = {name: weight.shape for name, weight in weights.items()}
        budget = replace(self, pattern=self.pattern.on(network), outside=self.of.outside(network, weights))
        budget.pattern.check(shapes)
        budget.targets(shapes)
        budget._check_only(_numel(shapes))
        if budget.outside:
            of_scope = budget.sparsity_of_scope(_numel(shapes))
            log.warning("sparsity %g of the model is %.4f of its weights in scope", self.sparsity, of_scope)
        return budget

    def masks(self, scores: Mapping[str, Tensor], sparsity: float | None = None) -> dict[str, Tensor]:
        """Returns the mask of each tensor, which keeps its highest scores.

        Args:
            scores: of every weight in scope, shaped like the weights; higher = keep.
            sparsity: of a schedule's intermediate step; the target by default.

        Raises:
            ValueError: if the distribution cannot meet the sparsity, or a score is NaN.
        """
        keep = self.keep(sum(score.numel() for score in scores.values()), sparsity)
        try:
            return self.pattern.masks(scores, keep, self.distribution)
        except ValueError as error:
            for name, score in scores.items():
                if bool(score.isnan().any()):
                    raise ValueError(f"a score of {name} is NaN, so that its weights cannot be ranked") from error
            raise

    def keep(self, numel: int, sparsity: float | None = None) -> int:
        """Returns how many of `numel` weights in scope stay.

        Raises:
            ValueError: if none does.
        """
        sparsity = self.sparsity if sparsity is None else sparsity
        counted = numel + self.outside
        keep = kept(counted, sparsity) - self.outside
        if keep >= 1:
            return keep
        if self.outside:
            digits = 10 ** (len(str(counted)) + 1)
            largest = math.floor(Fraction(numel - 1, counted) * digits) / digits
            raise ValueError(
                f"sparsity={sparsity} of the model keeps none of its {numel} weights in scope; the largest sparsity of"
                f" the model that can be met is {largest}"
            )
        raise ValueError(f"sparsity={sparsity} keeps none of the {numel} weights in scope")

    def targets(self, shapes: Mapping[str, torch.Size]) -> dict[str, int | None]:
        """Returns how many weights each tensor should keep; None where tensors compete for a common count."""
        return self.pattern.targets(shapes, self.keep(_numel(shapes)), self.distribution)

    def met(self, shapes: Mapping[str, torch.Size], keep: int) -> bool:
        """Returns whether as many weights stay as the target says, within what distribution and pattern allow."""
        wanted = (_numel(shapes) + self.outside) * (1 - self.sparsity) - self.outside
        tolerance = max(1, self.pattern.tolerance(shapes, self.distribution))
        return -tolerance - self.distribution.shortfall(shapes) <= keep - wanted <= tolerance

    def sparsity_of_scope(self, numel: int) -> float:
        """Returns the target as a fraction of the `numel` weights in scope."""
        return 1 - self.keep(numel) / numel if self.outside else self.sparsity

    def _check_only(self, numel: int) -> None:
        if self.pattern.only is not None and abs(self.sparsity_of_scope(numel) - self.pattern.only) * numel > 1:
            only = numel * self.pattern.only / (numel + self.outside)
            raise ValueError(
                f"sparsity={self.sparsity} of the model is none that pattern={self.pattern.label} has;"
                f" use sparsity={only}"
            )


def _numel(shapes: Mapping[str, torch.Size]) -> int:
    return sum(shape.numel() for shape in shapes.values())
