"""One update of dynamic sparse training: drop some kept weights, grow as many others."""

import math
from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor

from sparsity.selection import top

Tensors = Sequence[Tensor]


def drop_and_grow(masks: Tensors, drop_scores: Tensors, grow_scores: Tensors, fraction: float) -> list[Tensor]:
    """Returns masks of the same count over all tensors together (Evci et al. 2020, arXiv 1911.11134, algorithm 1).

    Some of the kept weights are dropped, and as many grown among all that are not kept any more: just dropped ones may
    return, as in RigL's official code.

    Args:
        masks: bool, True = kept, any shapes.
        drop_scores: see `drop`.
        grow_scores: see `grow`.
        fraction: share of the kept weights to exchange, in [0, 1].

    Raises:
        ValueError: if the fraction is out of range or a score is NaN.
    """
    stays = drop(masks, drop_scores, fraction)
    return grow(stays, grow_scores, count(masks) - count(stays))


def drop(masks: Tensors, scores: Tensors, fraction: float) -> list[Tensor]:
    """Returns masks without the floor(fraction * kept) kept weights of the lowest scores, over all tensors together.

    A weight whose score is +inf is never dropped: where too few others are kept, fewer are dropped. Ties are broken by
    index.

    Args:
        masks: bool, True = kept, any shapes.
        scores: shaped like the masks; looked at where they are True.
        fraction: of the kept weights, in [0, 1].

    Raises:
        ValueError: if the fraction is out of range or a score is NaN.
    """
    kept = count(masks)
    may_go = kept - count([mask & score.isposinf() for mask, score in zip(masks, scores, strict=True)])
    return top_within(masks, scores, kept - min(share(fraction, kept), may_go))


def share(fraction: float, number: int) -> int:
    """Returns floor(fraction * number), the fraction being read as the decimal number it is written as.

    Raises:
        ValueError: if the fraction is out of range.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"the drop fraction {fraction} must be at least 0 and at most 1")
    return math.floor(Fraction(repr(float(fraction))) * number)


def grow(stays: Tensors, scores: Tensors, number: int) -> list[Tensor]:
    """Returns masks with so many more weights, those of the highest scores over all tensors together.

    Args:
        stays: bool, True = kept, any shapes.
        scores: shaped like the masks; looked at where they are False.
        number: of weights, at most as many as are not kept.

    Raises:
        ValueError: if there are not so many, or a score is NaN.
    """
    grown = top_within([~stay for stay in stays], scores, number)
    return [stay | new for stay, new in zip(stays, grown, strict=True)]


def count(masks: Tensors) -> int:
    """Returns how many weights are kept, with one wait for the device."""
    return int(torch.stack([mask.count_nonzero() for mask in masks]).sum())


def top_within(allowed: Tensors, scores: Tensors, keep: int) -> list[Tensor]:
    """Returns the masks of the `keep` highest scores at allowed places, over all tensors together.

    Args:
        allowed: bool, any shapes.
        scores: shaped like them.
        keep: at most as many as are allowed.

    Raises:
        ValueError: if a score is NaN.
    """
    # Finite from below, so that an allowed place precedes every forbidden one, even where its score is -inf.
    return top(
        [
            score.clamp(min=torch.finfo(score.dtype).min).masked_fill_(~mask, -torch.inf)
            for mask, score in zip(allowed, scores, strict=True)
        ],
        keep,
    )
