"""Scores that look back, by hand."""

import pytest
import torch

from sparsity.memories import Momentum

WEIGHT = torch.tensor([1.0, -1.0, 0.0, 0.0, 2.0, 2.0, 3.0, 3.0])


def test_momentum_of_eight_weights() -> None:
    momentum = Momentum(decay=0.5)
    first, second = torch.tensor([8.0, -8.0, 4.0, 0.0, 0.0, 2.0, -2.0, 0.0]), torch.tensor([0.0, 8.0] * 4)
    kept = first.clone()
    memory = momentum.accumulate(None, WEIGHT, first)
    assert memory.tolist() == [4, -4, 2, 0, 0, 1, -1, 0]
    memory = momentum.accumulate(memory, WEIGHT, second)
    assert memory.tolist() == [2, 2, 1, 4, 0, 4.5, -0.5, 4]
    assert momentum(WEIGHT, memory).tolist() == [2, 2, 1, 4, 0, 4.5, 0.5, 4]
    assert torch.equal(first, kept)


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_illegal_decay(decay: float) -> None:
    with pytest.raises(ValueError, match="decay="):
        Momentum(decay)
