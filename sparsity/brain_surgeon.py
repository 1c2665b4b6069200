"""The optimal brain surgeon on blocks: which weights are cheap to remove, and how the others make up for them."""

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import pad

from sparsity.memories import Sampled, check_damping

_CHUNK = 1 << 13  # blocks that are factorised at a time, in float64
_ROUNDING = 16 * torch.finfo(torch.float32).eps  # of a block's sum over gradients, relative to its trace


@final
class OptimalBrainSurgeon(Sampled):
    """oBERT (Kurtic et al. 2022, arXiv 2203.07259): w^2 / (2 [F^-1]_ii), with F = damping + mean of g g^T in blocks.

    F is the empirical Fisher, restricted to blocks of consecutive weights along the flattened tensor. Where the paper
    updates F^-1 gradient by gradient (eq. 6), F itself is remembered here, and factorised in float64: the same matrix,
    without the cancellation that a damping of 1e-7, an inverse of 1e7, brings in float32. Weights that are zero take no
    part: those that are pruned stay so. Memory is `block` floats per weight.

    A block is damped by at least 2e-6 of its trace, the rounding error of its sum in float32. By default that exceeds
    the damping where gradients are above 0.03 (root mean square). Blocks of 50 weights then score less than 1 % too
    high if they have 64 gradients (0.6 %) or more (1024: 0.01 %), whatever the scale. Where gradients do not span a
    block, damping alone decides, and scores are those of the larger one.

    Patterns rank their units by the mean of single weights' scores, and not by what removing a unit Q costs jointly,
    w_Q^T ([F^-1]_QQ)^-1 w_Q / 2; the update of the kept weights is joint, and exact in each block of F.

    Args:
        block: weights per block; 1 is the diagonal Fisher, and a tensor with fewer weights is one block.
        damping: added to the diagonal.
    """

    def __init__(self, block: int = 50, damping: float = 1e-7) -> None:
        check_damping(damping)
        if block < 1:
            raise ValueError(f"score.block={block} must be at least 1 weight")
        self.block = block
        self.damping = damping

    def accumulate(self, memory: Tensor | None, weight: Tensor, gradient: Tensor, share: float) -> Tensor:
        rows = self._blocks(gradient * (weight != 0)).float()
        if memory is None:
            memory = rows.new_zeros(*rows.shape, rows.shape[1])
        return memory.baddbmm_(rows.unsqueeze(2), rows.unsqueeze(1), alpha=share)

    def __call__(self, weight: Tensor, memory: Tensor) -> Tensor:
        blocks = self._blocks(weight.detach())
        return self._by_chunks(blocks.shape, lambda i: _cost(blocks[i], self._fisher(memory[i])), weight)

    def adjusted(self, weight: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """Returns the weights plus -F^-1 E_Q (E_Q^T F^-1 E_Q)^-1 w_Q (eq. 3), Q being all that is pruned of a block."""
        blocks, kept = self._blocks(weight.detach()), self._blocks(mask)
        return self._by_chunks(
            blocks.shape, lambda i: _compensated(blocks[i], kept[i], self._fisher(memory[i])), weight
        )

    def _blocks(self, tensor: Tensor) -> Tensor:
        """Returns the values in rows of one block each, the last one padded with zeros."""
        size = min(self.block, tensor.numel())
        return pad(tensor.reshape(-1), (0, -tensor.numel() % size)).view(-1, size)

    def _fisher(self, sums: Tensor) -> Tensor:
        """Returns damped blocks in float64, which rounding cannot make indefinite."""
        fisher = sums.double()
        diagonal = fisher.diagonal(dim1=1, dim2=2)
        diagonal += (diagonal.sum(1, keepdim=True) * _ROUNDING).clamp_(min=self.damping)
        return fisher

    def _by_chunks(self, shape: torch.Size, function: Callable[[slice], Tensor], like: Tensor) -> Tensor:
        """Returns what a function gives for some rows at a time, shaped like a weight."""
        parts = [function(slice(start, start + _CHUNK)).to(like.dtype) for start in range(0, shape[0], _CHUNK)]
        return torch.cat(parts).flatten()[: like.numel()].view_as(like)


def _cost(weight: Tensor, fisher: Tensor) -> Tensor:
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(fisher))
    return weight.double().square() / (2 * inverse.diagonal(dim1=1, dim2=2))


def _compensated(weight: Tensor, kept: Tensor, fisher: Tensor) -> Tensor:
    """Returns w_K + F_KK^-1 F_KQ w_Q on what is kept, which is eq. 3 without an inverse, and zero on the others."""
    pruned = torch.where(kept, 0.0, weight.double()).unsqueeze(2)
    right = torch.where(kept.unsqueeze(2), fisher @ pruned, 0.0)
    both = kept.unsqueeze(2) & kept.unsqueeze(1)
    system = torch.where(both, fisher, torch.eye(fisher.shape[1], dtype=fisher.dtype, device=fisher.device))
    shift = torch.cholesky_solve(right, torch.linalg.cholesky(system)).squeeze(2)
    return torch.where(kept, weight + shift, 0.0)
