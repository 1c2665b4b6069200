"""Whole numbers in proportion to given weights, which sum to a total exactly and fit into given places."""

import math
from collections.abc import Sequence
from fractions import Fraction


def apportion(capacities: Sequence[int], weights: Sequence[Fraction], total: int) -> list[int]:
    """Returns how many of `total` each part gets: in proportion to its weight, and at most its capacity.

    What exceeds a capacity goes to the other parts, in proportion to theirs; parts that weigh nothing get something
    only when the others are full, and then share it evenly. Rounds by Webster's method (round each share, then give or
    take where the rounding is closest), because its counts never grow when `total` shrinks, as those of largest
    remainders may. Ties go to the earlier part.

    Args:
        capacities: at least `total` together.
        weights: not negative.
    """
    shares = _shares(capacities, weights, total)
    counts = [min(size, math.floor(share + Fraction(1, 2))) for size, share in zip(capacities, shares, strict=True)]
    parts = [i for i, share in enumerate(shares) if share > 0]
    while sum(counts) < total:
        i = min((i for i in parts if counts[i] < capacities[i]), key=lambda i: (counts[i] + Fraction(1, 2)) / shares[i])
        counts[i] += 1
    while sum(counts) > total:
        i = max((i for i in parts if counts[i] > 0), key=lambda i: ((counts[i] - Fraction(1, 2)) / shares[i], i))
        counts[i] -= 1
    return counts


def _shares(capacities: Sequence[int], weights: Sequence[Fraction], total: int) -> list[Fraction]:
    """Returns scale * weight of each part, with the scale at which the shares, capped at the capacities, sum to
    `total`."""
    full: set[int] = set()
    while True:
        rest = [i for i in range(len(capacities)) if i not in full]
        if not rest:
            return [Fraction(capacity) for capacity in capacities]
        left = total - sum(capacities[i] for i in full)
        mass = sum((weights[i] for i in rest), Fraction(0))
        if mass == 0:
            weights, mass = [weight or Fraction(1) for weight in weights], Fraction(len(rest))
        scale = left / mass
        exceeding = {i for i in rest if scale * weights[i] > capacities[i]}
        if not exceeding:
            return [max(scale * weights[i], Fraction(capacities[i] if i in full else 0)) for i in range(len(weights))]
        full |= exceeding


def by_density(sizes: Sequence[int], densities: Sequence[Fraction], keep: int) -> list[int]:
    """Returns how many of `keep` weights each tensor gets, its density being proportional to the given one."""
    return apportion(sizes, [density * size for density, size in zip(densities, sizes, strict=True)], keep)


def fewest_without_zero(sizes: Sequence[int], densities: Sequence[Fraction], keep: int, total: int) -> int:
    """Returns the smallest number of weights above `keep` that empties no tensor, by bisection: counts are monotone."""
    low, high = keep, total
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if 0 in by_density(sizes, densities, middle) else (low, middle)
    return high
