"""Between which tensors an update of dynamic sparse training exchanges weights; their number stays, or is a surplus."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import final

from torch import Tensor

from sparsity.apportionment import apportion
from sparsity.drop_grow import count, drop, drop_and_grow, grow, share, top_within

Named = Mapping[str, Tensor]
Counts = Mapping[str, int]


class Exchange(ABC):
    """A rule for which tensors compete for the weights that are dropped and grown."""

    keeps_counts: bool = False  # whether each tensor keeps its own count, not only all of them together
    has_surplus: bool = False  # whether there are more weights than that from one update to the next

    @abstractmethod
    def update(
        self, masks: Named, drop_scores: Named, grow_scores: Named, own: Counts, fraction: float
    ) -> dict[str, Tensor]:
        """Returns masks that keep as many weights as before, or as a surplus says.

        Args:
            masks: bool, True = kept, by name.
            drop_scores: of the same names and shapes; among kept weights the lowest are dropped, +inf never.
            grow_scores: of the same names and shapes; among the others the highest are grown.
            own: how many weights each tensor kept at first. What exceeds their sum is a surplus.
            fraction: share of the kept weights to exchange, in [0, 1].

        Raises:
            ValueError: if the fraction is out of range or a score is NaN.
        """


@final
@dataclass(frozen=True)
class PerTensor(Exchange):
    """Each tensor grows as many weights as it drops (SET, RigL)."""

    keeps_counts = True

    def update(
        self, masks: Named, drop_scores: Named, grow_scores: Named, own: Counts, fraction: float
    ) -> dict[str, Tensor]:
        return {
            name: drop_and_grow([mask], [drop_scores[name]], [grow_scores[name]], fraction)[0]
            for name, mask in masks.items()
        }


@final
@dataclass(frozen=True)
class SoftBound(Exchange):
    """Each tensor drops what it has grown beyond its own count at the update before, and then grows as much anew.

    MEST's soft memory bound (Yuan et al. 2021, arXiv 2110.14032, section 3, "EM&S"): grown weights are trained before
    it is decided which ones go, and until then they are a surplus, of the fraction of a tensor's own count. They can
    replace others, and a fraction of 0 leaves none. Weights of drop score +inf go where there is nothing else, since
    the count comes first.
    """

    keeps_counts = True
    has_surplus = True

    def update(
        self, masks: Named, drop_scores: Named, grow_scores: Named, own: Counts, fraction: float
    ) -> dict[str, Tensor]:
        new = {}
        for name, mask in masks.items():
            stays = top_within([mask], [drop_scores[name]], own[name])
            number = min(share(fraction, own[name]), mask.numel() - own[name])
            (new[name],) = grow(stays, [grow_scores[name]], number)
        return new


@final
@dataclass(frozen=True)
class Global(Exchange):
    """All tensors compete when weights are dropped and when they are grown, as in Numenta's sparse BERT."""

    def update(
        self, masks: Named, drop_scores: Named, grow_scores: Named, own: Counts, fraction: float
    ) -> dict[str, Tensor]:
        names = list(masks)
        drops, grows = [drop_scores[name] for name in names], [grow_scores[name] for name in names]
        return dict(zip(names, drop_and_grow(list(masks.values()), drops, grows, fraction), strict=True))


@final
@dataclass(frozen=True)
class ByGrowScore(Exchange):
    """Each tensor drops its own weights; the mean grow score of those it kept until then says how many it grows.

    Sparse momentum (Dettmers & Zettlemoyer 2019, arXiv 1907.04840, algorithm 1), where that score is the magnitude of
    the momentum. What exceeds the free places of a tensor goes to the others, in proportion to theirs.
    """

    def update(
        self, masks: Named, drop_scores: Named, grow_scores: Named, own: Counts, fraction: float
    ) -> dict[str, Tensor]:
        stays = {name: drop([mask], [drop_scores[name]], fraction)[0] for name, mask in masks.items()}
        weights = [_mean(grow_scores[name], mask) for name, mask in masks.items()]
        return _regrown(stays, grow_scores, weights, sum(own.values()))


@final
@dataclass(frozen=True)
class ByKept(Exchange):
    """All tensors compete when weights are dropped; each grows in proportion to what it still has.

    Dynamic sparse reparameterization (Mostafa & Wang 2019, arXiv 1902.05967, section 3), whose threshold is adapted
    until about the wanted number is dropped; here it is exact. What exceeds the free places of a tensor goes to the
    others, in proportion to theirs.
    """

    def update(
        self, masks: Named, drop_scores: Named, grow_scores: Named, own: Counts, fraction: float
    ) -> dict[str, Tensor]:
        dropped = drop(list(masks.values()), [drop_scores[name] for name in masks], fraction)
        stays = dict(zip(masks, dropped, strict=True))
        return _regrown(stays, grow_scores, [Fraction(count([stay])) for stay in dropped], sum(own.values()))


def _regrown(stays: Named, grow_scores: Named, weights: list[Fraction], total: int) -> dict[str, Tensor]:
    """Returns masks of so many weights in all, what is missing being grown in proportion to a weight of each tensor."""
    free = [stay.numel() - count([stay]) for stay in stays.values()]
    numbers = apportion(free, weights, total - count(list(stays.values())))
    return {
        name: grow([stay], [grow_scores[name]], number)[0]
        for (name, stay), number in zip(stays.items(), numbers, strict=True)
    }


def _mean(score: Tensor, mask: Tensor) -> Fraction:
    """Returns the mean score of what a mask keeps, 0 if it keeps nothing.

    Raises:
        ValueError: the mean is no number.
    """
    mean = score.double().mul(mask).sum().item() / max(1, count([mask]))
    try:
        return Fraction(mean)
    except (OverflowError, ValueError) as error:
        raise ValueError(f"the mean score of its kept weights is {mean}") from error
