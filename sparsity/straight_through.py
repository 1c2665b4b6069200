"""Gradients of weights that the network sees only while they are kept, but which have values behind their zeros.

The network computes with W * M, so that autograd gives G = dL/d(W * M) everywhere, pruned places included. What is
descended is a function of G, the hidden values W and the mask M (True = kept), all shaped alike.
"""

import torch
from torch import Tensor


def score_gradient(gradient: Tensor, weight: Tensor) -> Tensor:
    """Returns G * W: the gradient of the mask's scores, for which the step function of the mask is taken for the
    identity (Mallya et al. 2018, arXiv 1801.06519; Sanh et al. 2020, arXiv 2005.07683, section 4)."""
    return gradient * weight


def sr_ste(gradient: Tensor, weight: Tensor, mask: Tensor, strength: float) -> Tensor:
    """Returns G + strength * (1 - M) * W, which draws pruned weights to zero (Zhou et al. 2021, arXiv 2102.04010).

    Strength 0 is the plain straight-through estimator.
    """
    return torch.where(mask, gradient, gradient + strength * weight)


def explored(
    gradient: Tensor, weight: Tensor, mask: Tensor, superset: Tensor, density: float, strength: float
) -> Tensor:
    """Returns the gradient of the loss and the exploration penalty (Jayakumar et al. 2021, arXiv 2106.03517, sec. 2).

    The penalty strength / 2 * W^2 is larger by 1 / density where weights are in the superset only: they have to earn
    their place. Outside the superset everything is zero.

    Args:
        mask: what the network computes with.
        superset: what is trained; it holds the mask.
        density: fraction that the mask keeps, above 0 (the paper's D, of a layer).
    """
    penalized = gradient + weight * torch.where(mask, strength, strength / density).to(weight.dtype)
    return penalized.masked_fill_(~superset, 0.0)
