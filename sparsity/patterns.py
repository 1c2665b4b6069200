"""What is kept or dropped together: single weights, blocks, or some of every few consecutive ones.

A pattern turns scores of weights into masks. Where several weights form a unit, its score is the mean of theirs.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from sparsity.distributions import Distribution
from sparsity.selection import top, top_of_each

Shapes = Mapping[str, torch.Size]
Tensors = Mapping[str, Tensor]


class Pattern(ABC):
    """The units that masks are made of.

    Class attributes:
        label: its name on the command line.
    """

    label: ClassVar[str]

    @property
    def only(self) -> float | None:
        """The one sparsity that the pattern can have as a target; None = any."""
        return None

    def on(self, network: nn.Module) -> "Pattern":
        """Returns the pattern of a network, which may have to say how large its units are.

        Raises:
            ValueError: it does not.
        """
        return self

    @abstractmethod
    def check(self, shapes: Shapes) -> None:
        """Raises ValueError if tensors of these shapes do not consist of whole units."""

    @abstractmethod
    def masks(self, scores: Tensors, keep: int, distribution: Distribution) -> dict[str, Tensor]:
        """Returns the masks of the highest units, which keep `keep` weights as nearly as units allow.

        Args:
            scores: by tensor; a weight that is -inf, as one already pruned, is not kept again.
            keep: number of weights.
            distribution: how they are spread over the tensors, in units.

        Raises:
            ValueError: if a score is NaN or no unit is left.
        """

    @abstractmethod
    def targets(self, shapes: Shapes, keep: int, distribution: Distribution) -> dict[str, int | None]:
        """Returns how many weights each tensor should keep; None where tensors compete for a common count."""

    @abstractmethod
    def tolerance(self, shapes: Shapes, distribution: Distribution) -> int:
        """Returns by how many weights masks may miss what they are to keep."""


class Tiles(Pattern, ABC):
    """Units of one size that tile each tensor by itself, so that they can also be exchanged one for one."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Weights of a unit."""

    @abstractmethod
    def shape(self, shape: torch.Size) -> torch.Size:
        """Returns the grid of units that a tensor of a shape consists of."""

    @abstractmethod
    def pooled(self, tensors: Tensors) -> dict[str, Tensor]:
        """Returns a value per unit: the mean of its weights' values, or of a mask whether they are kept."""

    @abstractmethod
    def spread(self, masks: Tensors) -> dict[str, Tensor]:
        """Returns masks of weights from masks of units."""

    def masks(self, scores: Tensors, keep: int, distribution: Distribution) -> dict[str, Tensor]:
        pooled = self.pooled(scores)
        shapes = {name: score.shape for name, score in pooled.items()}
        chosen: dict[str, Tensor] = {}
        for group in distribution.groups(shapes, self._units(keep), pooled):
            chosen |= group.select(pooled)
        return self.spread({name: chosen[name] for name in scores})

    def targets(self, shapes: Shapes, keep: int, distribution: Distribution) -> dict[str, int | None]:
        groups = distribution.groups({name: self.shape(s) for name, s in shapes.items()}, self._units(keep))
        return {
            name: group.keep * self.size if len(group.names) == 1 else None for group in groups for name in group.names
        }

    def tolerance(self, shapes: Shapes, distribution: Distribution) -> int:
        return self.size * (1 + distribution.tolerance({name: self.shape(shape) for name, shape in shapes.items()}))

    def _units(self, keep: int) -> int:
        units = round(keep / self.size)
        if units == 0:
            raise ValueError(f"{keep} weights to keep are at most half a unit of pattern={self.label}; lower sparsity")
        return units


@final
@dataclass(frozen=True)
class Unstructured(Tiles):
    """Single weights."""

    label = "unstructured"
    size = 1

    def check(self, shapes: Shapes) -> None:
        pass

    def shape(self, shape: torch.Size) -> torch.Size:
        return shape

    def pooled(self, tensors: Tensors) -> dict[str, Tensor]:
        return dict(tensors)

    def spread(self, masks: Tensors) -> dict[str, Tensor]:
        return dict(masks)


@final
@dataclass(frozen=True)
class Block(Tiles):
    """Blocks of `rows` outputs by `cols` inputs. Distributions see matrices of blocks."""

    rows: int
    cols: int

    label = "block"

    def __post_init__(self) -> None:
        for side, length in {"rows": self.rows, "cols": self.cols}.items():
            if length < 1:
                raise ValueError(f"pattern.{side}={length} must be at least 1, such as 4")

    @property
    def size(self) -> int:
        return self.rows * self.cols

    def check(self, shapes: Shapes) -> None:
        _check_matrices(self.label, shapes)
        for name, shape in shapes.items():
            if shape[0] % self.rows or shape[1] % self.cols:
                rows = _nearest_divisor(math.gcd(*(shape[0] for shape in shapes.values())), self.rows)
                cols = _nearest_divisor(math.gcd(*(shape[1] for shape in shapes.values())), self.cols)
                raise ValueError(
                    f"pattern.rows={self.rows} and pattern.cols={self.cols} do not divide {name} of shape"
                    f" {tuple(shape)}; the nearest block that fits every tensor is pattern.rows={rows}"
                    f" pattern.cols={cols}"
                )

    def shape(self, shape: torch.Size) -> torch.Size:
        return torch.Size([shape[0] // self.rows, shape[1] // self.cols])

    def pooled(self, tensors: Tensors) -> dict[str, Tensor]:
        found = {}
        for name, tensor in tensors.items():
            blocks = tensor.reshape(tensor.shape[0] // self.rows, self.rows, -1, self.cols)
            found[name] = blocks.any(3).any(1) if tensor.dtype == torch.bool else blocks.mean((1, 3))
        return found

    def spread(self, masks: Tensors) -> dict[str, Tensor]:
        return {
            name: mask.repeat_interleave(self.rows, 0).repeat_interleave(self.cols, 1) for name, mask in masks.items()
        }


@final
@dataclass(frozen=True)
class NM(Pattern):
    """Of every `m` consecutive inputs of an output, `n` are kept (Mishra et al. 2021, arXiv 2104.08378).

    The target is a sparsity of 1 - n/m in every tensor, which leaves distributions no choice. On the way there some
    groups of m are still dense: those whose lowest m - n scores are highest in the mean, over all tensors.
    """

    n: int
    m: int

    label = "n_m"

    def __post_init__(self) -> None:
        if not 1 <= self.n < self.m:
            raise ValueError(f"pattern.n={self.n} and pattern.m={self.m} must satisfy 1 <= n < m, such as 2 and 4")

    @property
    def only(self) -> float:
        return (self.m - self.n) / self.m

    def check(self, shapes: Shapes) -> None:
        _check_matrices(self.label, shapes)
        for name, shape in shapes.items():
            if shape[1] % self.m:
                nearest = _nearest_divisor(math.gcd(*(shape[1] for shape in shapes.values())), self.m)
                raise ValueError(
                    f"pattern.m={self.m} does not divide the rows of {name} of shape {tuple(shape)};"
                    f" the nearest that fits every tensor is pattern.m={nearest}"
                )

    def masks(self, scores: Tensors, keep: int, distribution: Distribution) -> dict[str, Tensor]:
        groups = {name: score.reshape(-1, self.m) for name, score in scores.items()}
        pruned = {name: top_of_each(group, self.n) & (group > -math.inf) for name, group in groups.items()}
        dropped = self.m - self.n
        total = sum(score.numel() for score in scores.values())
        still_dense = max(0, total // self.m - round((total - keep) / dropped))
        losses = [
            group.clamp(min=torch.finfo(group.dtype).min).masked_fill(pruned[name], 0).sum(1)
            for name, group in groups.items()
        ]
        whole = dict(zip(scores, top(losses, still_dense), strict=True))
        return {name: (pruned[name] | whole[name].unsqueeze(1)).view(score.shape) for name, score in scores.items()}

    def targets(self, shapes: Shapes, keep: int, distribution: Distribution) -> dict[str, int | None]:
        return {name: shape.numel() // self.m * self.n for name, shape in shapes.items()}

    def tolerance(self, shapes: Shapes, distribution: Distribution) -> int:
        return 1


def _check_matrices(label: str, shapes: Shapes) -> None:
    for name, shape in shapes.items():
        if len(shape) != 2:
            raise ValueError(f"pattern={label} is of matrices, but {name} in scope has shape {tuple(shape)}")


def _nearest_divisor(number: int, wish: int) -> int:
    """Returns the divisor of a number, other than 1 where there is one, that is nearest to a wish above 1."""
    divisors = [d for d in range(2 if wish > 1 and number > 1 else 1, number + 1) if number % d == 0]
    return min(divisors, key=lambda d: abs(d - wish))
