"""The selection that is obviously right: join everything, sort it, keep the first ones."""

from collections.abc import Sequence

import torch
from torch import Tensor


def top(scores: Sequence[Tensor], keep: int) -> list[Tensor]:
    """Returns what `sparsity.selection.top` must return."""
    joined = torch.cat([score.reshape(-1) for score in scores])
    mask = torch.zeros_like(joined, dtype=torch.bool)
    mask[joined.sort(descending=True, stable=True).indices[:keep]] = True
    sizes = [score.numel() for score in scores]
    return [part.reshape(score.shape) for part, score in zip(mask.split(sizes), scores, strict=True)]
