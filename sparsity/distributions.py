"""How the weights that stay are spread over the tensors: whole numbers that sum to the budget exactly."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import final

import torch

from sparsity.apportionment import apportion


@final
@dataclass(frozen=True)
class Group:
    """Tensors whose weights compete with each other for `keep` places."""

    names: tuple[str, ...]
    keep: int


class Distribution(ABC):
    """Splits a number of weights to keep over tensors.

    Fewer weights to keep never mean more in any tensor, so that gradual pruning gives nested masks.
    """

    @abstractmethod
    def groups(self, shapes: Mapping[str, torch.Size], keep: int) -> list[Group]:
        """Returns groups that hold each tensor once, in order, and together keep `keep` weights.

        Raises:
            ValueError: if `keep` is no number of weights of these shapes, or can only be met by emptying a whole
            tensor.
        """


@final
@dataclass(frozen=True)
class Global(Distribution):
    """All weights compete with each other."""

    def groups(self, shapes: Mapping[str, torch.Size], keep: int) -> list[Group]:
        _check(shapes, keep)
        return [Group(tuple(shapes), keep)]


@final
@dataclass(frozen=True)
class Uniform(Distribution):
    """The same density in every tensor."""

    def groups(self, shapes: Mapping[str, torch.Size], keep: int) -> list[Group]:
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

    def groups(self, shapes: Mapping[str, torch.Size], keep: int) -> list[Group]:
        power = Fraction(repr(float(self.power)))  # whole powers are exact
        densities = [Fraction(Fraction(sum(shape), math.prod(shape)) ** power) for shape in shapes.values()]
        return _one_each("ERK", shapes, keep, densities)


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
    counts = _apportion(sizes, densities, keep)
    if keep > 0 and 0 in counts:
        least = _least(sizes, densities, keep, total)
        digits = 10 ** (len(str(total)) + 1)
        nearest = math.floor(Fraction(total - least, total) * digits) / digits
        raise ValueError(
            f"the {label} distribution leaves {list(shapes)[counts.index(0)]} without weights when it keeps {keep} of"
            f" {total}; the nearest sparsity it can meet is {nearest}"
        )
    return [Group((name,), count) for name, count in zip(shapes, counts, strict=True)]


def _apportion(sizes: Sequence[int], densities: Sequence[Fraction], keep: int) -> list[int]:
    """Returns how many weights each tensor keeps; counts never grow when `keep` shrinks."""
    return apportion(sizes, [density * size for density, size in zip(densities, sizes, strict=True)], keep)


def _least(sizes: Sequence[int], densities: Sequence[Fraction], keep: int, total: int) -> int:
    """Returns the smallest number of weights above `keep` that empties no tensor, by bisection: counts are monotone."""
    low, high = keep, total
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if 0 in _apportion(sizes, densities, middle) else (low, middle)
    return high
