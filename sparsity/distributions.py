"""How the weights that stay are spread over the tensors: whole numbers that sum to the budget exactly."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import final

import torch
from torch import Tensor

from sparsity.apportionment import by_density, fewest_without_zero
from sparsity.selection import top, top_of_each


@final
@dataclass(frozen=True)
class Group:
    """Tensors whose weights compete with each other for `keep` places.

    In a single tensor there may be several competitions: in each of `lines` parts of it, equally long and consecutive
    in memory, for keep / lines places each.

    Attributes:
        strict: only what scores above the lowest of the `keep` is kept, which is one less where there are no ties.
    """

    names: tuple[str, ...]
    keep: int
    lines: int = 1
    strict: bool = False

    def select(self, scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns bool masks, True = kept, of the group's tensors."""
        if self.lines == 1:
            masks = dict(zip(self.names, top([scores[name] for name in self.names], self.keep), strict=True))
            if self.strict and self.keep:
                lowest = min(float(scores[name][mask].min()) for name, mask in masks.items() if mask.any())
                masks = {name: scores[name] > lowest for name in masks}
            return masks
        (name,) = self.names
        mask = top_of_each(scores[name].reshape(self.lines, -1), self.keep // self.lines)
        return {name: mask.view(scores[name].shape)}


class Distribution(ABC):
    """Splits a number of weights to keep over tensors.

    Fewer weights to keep never mean more in any tensor, so that gradual pruning gives nested masks.
    """

    @abstractmethod
    def groups(
        self, shapes: Mapping[str, torch.Size], keep: int, scores: Mapping[str, Tensor] | None = None
    ) -> list[Group]:
        """Returns groups that hold each tensor once, in order, and together keep `keep` weights.

        Args:
            scores: of the weights, for distributions that look at them; without, these tell what holds for any scores.

        Raises:
            ValueError: if `keep` is no number of weights of these shapes, or can only be met by emptying a whole
            tensor.
        """

    def tolerance(self, shapes: Mapping[str, torch.Size]) -> int:
        """Returns by how many weights the groups together may miss `keep`."""
        return 0

    def shortfall(self, shapes: Mapping[str, torch.Size]) -> int:
        """Returns how many weights fewer than `keep` scores may leave."""
        return 0


@final
@dataclass(frozen=True)
class Global(Distribution):
    """All weights compete with each other.

    Args:
        strict: keep what lies strictly above the threshold that as many reach as asked, as SMC-Bench does: one weight
            less, and none of those that tie at it.
    """

    strict: bool = False

    def groups(
        self, shapes: Mapping[str, torch.Size], keep: int, scores: Mapping[str, Tensor] | None = None
    ) -> list[Group]:
        _check(shapes, keep)
        return [Group(tuple(shapes), keep, strict=self.strict)]

    def shortfall(self, shapes: Mapping[str, torch.Size]) -> int:
        return sum(shape.numel() for shape in shapes.values()) if self.strict else 0


@final
@dataclass(frozen=True)
class Uniform(Distribution):
    """The same density in every tensor."""

    def groups(
        self, shapes: Mapping[str, torch.Size], keep: int, scores: Mapping[str, Tensor] | None = None
    ) -> list[Group]:
        return _one_each("uniform", shapes, keep, [Fraction(1)] * len(shapes))


@final
@dataclass(frozen=True)
class Erk(Distribution):
    """Erdos-Renyi-Kernel (Evci et al. 2020, arXiv 1911.11134, section 3): small tensors stay denser than large ones.

    The density of a tensor is proportional to (sum of its dimensions / their product) ** power, and at most 1: tensors
    that would exceed it are dense, and the others share what remains. Power 0 is uniform.
    """

    power: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.power <= 16:
            raise ValueError(
                f"distribution.power={self.power} must be at least 0 and at most 16; 1 is the published ERK"
            )

    def groups(
        self, shapes: Mapping[str, torch.Size], keep: int, scores: Mapping[str, Tensor] | None = None
    ) -> list[Group]:
        power = Fraction(repr(float(self.power)))  # whole powers are exact
        densities = [Fraction(Fraction(sum(shape), math.prod(shape)) ** power) for shape in shapes.values()]
        return _one_each("ERK", shapes, keep, densities)


@final
@dataclass(frozen=True)
class PerRow(Distribution):
    """The same number of weights in every row of a tensor, each row being a competition of its own.

    Of a row of d weights round(density * d) stay, halves to even, so that the total misses `keep` by at most half a
    weight per row. So rounds nupic.research; Wanda compares within output rows (Sun et al. 2023, arXiv 2306.11695).
    """

    def groups(
        self, shapes: Mapping[str, torch.Size], keep: int, scores: Mapping[str, Tensor] | None = None
    ) -> list[Group]:
        total = _check(shapes, keep)
        lengths = {name: shape[1:].numel() for name, shape in shapes.items()}
        stay = {name: round(Fraction(keep * length, total)) for name, length in lengths.items()}
        if keep > 0 and 0 in stay.values():
            fewest = math.floor(Fraction(total, 2 * min(lengths.values()))) + 1
            raise _emptied("per-row", next(name for name in shapes if stay[name] == 0), keep, fewest, total)
        return [Group((name,), shape[0] * stay[name], shape[0]) for name, shape in shapes.items()]

    def tolerance(self, shapes: Mapping[str, torch.Size]) -> int:
        return math.ceil(sum(shape[0] for shape in shapes.values()) / 2)


@final
@dataclass(frozen=True)
class Owl(Distribution):
    """Outlier weighed layerwise sparsity (Yin et al. 2023, arXiv 2310.05175): tensors with many outliers stay denser.

    A tensor's outlier ratio is the share of its scores above `threshold` times their mean. The densities are these
    ratios, moved and stretched so that they span 2 * `spread` and average to the budget's. With Wanda's |w| * ||x|| as
    the score that is the paper's rule, taken per tensor; there, the tensors of a Transformer layer share one density,
    and weights are then compared within rows. What is already pruned (-inf) counts as a score of zero.

    Args:
        threshold: the paper's M, 3 to 10.
        spread: the paper's lambda, the largest deviation of a density from the middle of all, in [0, 1).
    """

    threshold: float = 5.0
    spread: float = 0.08

    def __post_init__(self) -> None:
        if not 0 < self.threshold < math.inf:
            raise ValueError(f"distribution.threshold={self.threshold} must be positive; 5 is published")
        if not 0 <= self.spread < 1:
            raise ValueError(f"distribution.spread={self.spread} must be at least 0 and below 1; 0.08 is published")

    def groups(
        self, shapes: Mapping[str, torch.Size], keep: int, scores: Mapping[str, Tensor] | None = None
    ) -> list[Group]:
        total = _check(shapes, keep)
        if scores is None:
            return [Group(tuple(shapes), keep)]
        ratios = [outlier_ratio(scores[name], self.threshold) for name in shapes]
        least, most = min(ratios), max(ratios)
        raised = [Fraction((ratio - least) / (most - least) if most > least else 0) for ratio in ratios]
        sizes = [shape.numel() for shape in shapes.values()]
        mean = sum((r * size for r, size in zip(raised, sizes, strict=True)), Fraction(0)) / total
        densities = [Fraction(keep, total) + 2 * Fraction(repr(self.spread)) * (r - mean) for r in raised]
        # Where few weights stay, the spread may ask for less than none; a tenth of the mean density stays everywhere.
        densities = [max(density, Fraction(keep, 10 * total)) for density in densities]
        # What is pruned is out of reach, so that gradual pruning gives nested masks whatever the new ratios.
        alive = [int(scores[name].gt(-math.inf).count_nonzero()) for name in shapes]
        within = [d * size / max(n, 1) for d, size, n in zip(densities, sizes, alive, strict=True)]
        counts = by_density(alive, within, keep)
        return [Group((name,), count) for name, count in zip(shapes, counts, strict=True)]


def outlier_ratio(score: Tensor, threshold: float) -> float:
    """Returns the share of scores that are above `threshold` times their mean."""
    finite = score.detach().clamp(min=0)
    return float(finite.gt(threshold * finite.mean()).float().mean())


def _check(shapes: Mapping[str, torch.Size], keep: int) -> int:
    """Returns the number of weights."""
    total = sum(shape.numel() for shape in shapes.values())
    if not 0 <= keep <= total:
        raise ValueError(f"cannot keep {keep} of {total} weights; keep between 0 and {total}")
    return total


def _one_each(label: str, shapes: Mapping[str, torch.Size], keep: int, densities: Sequence[Fraction]) -> list[Group]:
    """Returns a group per tensor, the densities being proportional to the given ones where these do not exceed 1."""
    total = _check(shapes, keep)
    sizes = [shape.numel() for shape in shapes.values()]
    counts = by_density(sizes, densities, keep)
    if keep > 0 and 0 in counts:
        raise _emptied(
            label, list(shapes)[counts.index(0)], keep, fewest_without_zero(sizes, densities, keep, total), total
        )
    return [Group((name,), count) for name, count in zip(shapes, counts, strict=True)]


def _emptied(label: str, name: str, keep: int, fewest: int, total: int) -> ValueError:
    """Returns the error for a tensor without weights, where at least `fewest` of `total` have to stay."""
    digits = 10 ** (len(str(total)) + 1)
    nearest = math.floor(Fraction(total - fewest, total) * digits) / digits
    return ValueError(
        f"the {label} distribution leaves {name} without weights when it keeps {keep} of"
        f" {total}; the nearest sparsity it can meet is {nearest}"
    )
