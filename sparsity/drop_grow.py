"""One update of dynamic sparse training: drop some kept weights, grow as many others."""

import math
from fractions import Fraction

import torch
from torch import Tensor

from sparsity.selection import top


def drop_and_grow(mask: Tensor, drop_score: Tensor, grow_score: Tensor, fraction: float) -> Tensor:
    """Returns a mask of the same count (Evci et al. 2020, arXiv 1911.11134, algorithm 1).

    Of the kept weights, floor(fraction * kept) with the lowest drop scores are dropped. Then as many with the highest
    grow scores are grown among all that are not kept any more: just dropped ones may return, as in RigL's official
    code. Ties are broken by index.

    Args:
        mask: bool, True = kept, any shape.
        drop_score: shaped like the mask; looked at where it is True.
        grow_score: shaped like the mask; looked at where weights are not kept any more.
        fraction: share of the kept weights to exchange, in [0, 1].

    Raises:
        ValueError: if the fraction is out of range or a score is NaN.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"the drop fraction {fraction} must be at least 0 and at most 1")
    kept = int(mask.count_nonzero())
    exchanged = math.floor(Fraction(repr(float(fraction))) * kept)
    stays = _top_within(mask, drop_score, kept - exchanged)
    return stays | _top_within(~stays, grow_score, exchanged)


def _top_within(allowed: Tensor, score: Tensor, keep: int) -> Tensor:
    """Returns the mask of the `keep` highest scores at allowed places, of which there are enough.

    Scores are made finite from below, so that an allowed place precedes every forbidden one, even where its score is
    -inf.
    """
    candidates = score.clamp(min=torch.finfo(score.dtype).min).masked_fill_(~allowed, -torch.inf)
    return top([candidates], keep)[0]
