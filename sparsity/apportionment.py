"""Sharing out a number of seats: ideal counts rounded to whole numbers that sum exactly and shrink monotonically."""

import math
from collections.abc import Sequence
from fractions import Fraction


def apportion(sizes: Sequence[int], densities: Sequence[Fraction], keep: int) -> list[int]:
    """Rounds the ideal counts to whole numbers that sum to `keep`.

    Webster's method (round each share, then give or take where the rounding is closest), because its counts never grow
    when `keep` shrinks, as those of largest remainders may. Ties go to the earlier tensor.
    """
    shares = _shares(sizes, densities, keep)
    counts = [min(size, math.floor(share + Fraction(1, 2))) for size, share in zip(sizes, shares, strict=True)]
    tensors = range(len(sizes))
    while sum(counts) < keep:
        i = min((i for i in tensors if counts[i] < sizes[i]), key=lambda i: (counts[i] + Fraction(1, 2)) / shares[i])
        counts[i] += 1
    while sum(counts) > keep:
        i = max((i for i in tensors if counts[i] > 0), key=lambda i: ((counts[i] - Fraction(1, 2)) / shares[i], i))
        counts[i] -= 1
    return counts


def _shares(sizes: Sequence[int], densities: Sequence[Fraction], keep: int) -> list[Fraction]:
    """Returns scale * density * size for each tensor, with the scale at which the shares, capped at the sizes, sum to
    `keep`."""
    dense: set[int] = set()
    while True:
        rest = [i for i in range(len(sizes)) if i not in dense]
        if not rest:
            return [Fraction(size) for size in sizes]
        left = keep - sum(sizes[i] for i in dense)
        scale = left / sum((densities[i] * sizes[i] for i in rest), Fraction(0))
        exceeding = {i for i in rest if scale * densities[i] > 1}
        if not exceeding:
            return [scale * density * size for density, size in zip(densities, sizes, strict=True)]
        dense |= exceeding


def fewest_without_zero(sizes: Sequence[int], densities: Sequence[Fraction], keep: int, total: int) -> int:
    """Returns the smallest number of weights above `keep` that empties no tensor, by bisection: counts are monotone."""
    low, high = keep, total
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if 0 in apportion(sizes, densities, middle) else (low, middle)
    return high
