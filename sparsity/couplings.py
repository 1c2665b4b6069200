"""Structured pruning: units that have a part in several tensors."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, final

import torch
from torch import Tensor, nn

from sparsity.distributions import Distribution, Global
from sparsity.patterns import Pattern, Shapes, Tensors

Home = tuple[str, str]  # kind of unit, and what the names of the tensors that belong together begin with


class Part(NamedTuple):
    """What of a tensor belongs to a unit: `size` consecutive lines along a dimension."""

    home: Home
    dimension: int
    size: int

    def weights(self, shape: torch.Size) -> int:
        """Returns the weights of a unit that are in a tensor of some shape."""
        return self.size * shape.numel() // shape[self.dimension]

    def sums(self, score: Tensor) -> Tensor:
        """Returns the sum of the scores of each unit."""
        lines = score.sum(1 - self.dimension, dtype=torch.float64)
        return lines.view(-1, self.size).sum(1)

    def spread(self, units: Tensor, shape: torch.Size) -> Tensor:
        """Returns the mask of a tensor."""
        lines = units.repeat_interleave(self.size)
        return lines.unsqueeze(1 - self.dimension).expand(shape).contiguous()


@final
@dataclass(frozen=True)
class Coupling:
    """Units that are `size` consecutive rows of some tensors and the columns of others that read what these produce.

    Tensors belong together if what precedes the match in their names is the same.

    Args:
        rows: regular expression of the tensors whose rows count.
        columns: regular expression of those whose columns count.
        size: rows, or columns, of a unit; None = not known yet.
    """

    rows: str
    columns: str
    size: int | None

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 1:
            raise ValueError(f"size={self.size} of a unit must be at least 1")
        for field in ("rows", "columns"):
            try:
                re.compile(getattr(self, field))
            except re.error as error:
                raise ValueError(f"{field} has an invalid regular expression: {error}") from error

    def part(self, kind: str, name: str) -> Part | None:
        """Returns the part that a tensor has in such units; None = none."""
        for dimension, pattern in enumerate((self.rows, self.columns)):
            if match := re.search(pattern, name):
                assert self.size is not None
                return Part((kind, name[: match.start()]), dimension, self.size)
        return None


@final
@dataclass(frozen=True)
class HeadsAndNeurons(Pattern):
    """Whole attention heads and neurons of the feed-forward blocks, which compete by the mean of their scores.

    A head is rows of query, key and value and columns of the output projection; a neuron is a row of the first and a
    column of the second matrix of its block. Their biases stay: nothing reads what they produce. Units being of two
    sizes, as many of the best are kept as bring the count nearest to the budget. Heads whose size is None are as large
    as the network's attention layers say.
    """

    heads: Coupling
    neurons: Coupling

    label = "heads_and_neurons"

    def on(self, network: nn.Module) -> "HeadsAndNeurons":
        if self.heads.size is not None:
            return self
        found = {getattr(part, "attention_head_size", None) for part in network.modules()}
        sizes = [size for size in found if isinstance(size, int)]
        if len(sizes) != 1:
            raise ValueError(
                "the network does not say how large its heads are; give pattern.heads.size=<rows of a head>"
            )
        return replace(self, heads=replace(self.heads, size=sizes[0]))

    def check(self, shapes: Shapes) -> None:
        counts: dict[Home, tuple[str, int]] = {}
        for name, shape in shapes.items():
            part = self._part(name)
            if len(shape) != 2 or shape[part.dimension] % part.size:
                raise ValueError(
                    f"pattern.{part.home[0]}.size={part.size} does not divide dimension {part.dimension} of {name} of"
                    f" shape {tuple(shape)}"
                )
            count = shape[part.dimension] // part.size
            first, expected = counts.setdefault(part.home, (name, count))
            if count != expected:
                raise ValueError(f"{first} has {expected} units of pattern.{part.home[0]}, but {name} has {count}")

    def masks(self, scores: Tensors, keep: int, distribution: Distribution) -> dict[str, Tensor]:
        self._check_distribution(distribution)
        shapes = {name: score.shape for name, score in scores.items()}
        sizes = self._sizes(shapes)
        sums: dict[Home, Tensor] = {}
        for name, score in scores.items():
            part = self._part(name)
            sums[part.home] = part.sums(score) + sums.get(part.home, 0)
        chosen = _nearest_to(keep, {home: total / sizes[home] for home, total in sums.items()}, sizes)
        return {name: self._part(name).spread(chosen[self._part(name).home], shape) for name, shape in shapes.items()}

    def targets(self, shapes: Shapes, keep: int, distribution: Distribution) -> dict[str, int | None]:
        self._check_distribution(distribution)
        return dict.fromkeys(shapes)

    def tolerance(self, shapes: Shapes, distribution: Distribution) -> int:
        return max(self._sizes(shapes).values(), default=1)

    def _part(self, name: str) -> Part:
        part = self.heads.part("heads", name) or self.neurons.part("neurons", name)
        if part is None:
            raise ValueError(
                f"{name} is in scope, but has no part in the heads and neurons of pattern={self.label}; use"
                " scope=encoder, ffn or attention"
            )
        return part

    def _sizes(self, shapes: Shapes) -> dict[Home, int]:
        """Returns the weights of a unit, over all tensors."""
        sizes: dict[Home, int] = {}
        for name, shape in shapes.items():
            part = self._part(name)
            sizes[part.home] = sizes.get(part.home, 0) + part.weights(shape)
        return sizes

    def _check_distribution(self, distribution: Distribution) -> None:
        if not isinstance(distribution, Global):
            raise ValueError(f"pattern={self.label} compares units of the whole scope; use distribution=global")


def _nearest_to(keep: int, scores: Mapping[Home, Tensor], sizes: Mapping[Home, int]) -> dict[Home, Tensor]:
    """Returns masks of the units with the highest scores, so many that their sizes sum to nearly `keep`."""
    joined = torch.cat(list(scores.values()))
    if bool(joined.isnan().any()):
        raise ValueError("a score is NaN, so that its unit cannot be ranked")
    weights = torch.cat([torch.full_like(score, sizes[key], dtype=torch.long) for key, score in scores.items()])
    order = joined.sort(descending=True, stable=True).indices
    order = order[: int(joined.gt(-torch.inf).count_nonzero())]  # what is pruned stays so
    sums = weights[order].cumsum(0)
    missed = torch.cat([sums.new_tensor([keep]), (sums - keep).abs()])
    mask = torch.zeros_like(joined, dtype=torch.bool)
    mask[order[: int(missed.argmin())]] = True
    if not bool(mask.any()):
        raise ValueError(f"{keep} weights to keep are at most half of the best unit; lower sparsity")
    parts = torch.split(mask, [score.numel() for score in scores.values()])
    return dict(zip(scores, parts, strict=True))
