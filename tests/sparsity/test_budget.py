"""One rounding for all counts, and the way from scores to masks."""

import math

import pytest
import torch

from sparsity.budget import Budget, kept
from sparsity.distributions import Erk, Global, Uniform
from sparsity.scope import Scope

SCOPE = Scope([r"weight$"])
SCORES = {"a": torch.tensor([[8.0], [1.0]]), "b": torch.tensor([[7.0, 2.0, 6.0], [3.0, 5.0, 4.0]])}


@pytest.mark.parametrize(
    ("numel", "sparsity", "expected"),
    [
        (8, 0.0, 8),
        (8, 1.0, 0),
        (0, 0.5, 0),
        (10, 0.8, 2),
        (11, 0.8, 2),
        (10, 0.75, 2),  # halves go to the even number
        (10, 0.65, 4),
        (10, 0.95, 0),
        (10, 0.85, 2),
        (30, 0.95, 2),
        (50, 0.95, 2),  # exactly 2.5, in floats 2.500000000000002
        (1000, 1e-05, 1000),
        (301_989_888, 0.8, 60_397_978),
    ],
)
def test_kept(numel: int, sparsity: float, expected: int) -> None:
    assert kept(numel, sparsity) == expected


def test_kept_is_monotone_and_nearest() -> None:
    for numel in (1, 7, 10, 1000):
        counts = [kept(numel, i / 1000) for i in range(1001)]
        assert counts == sorted(counts, reverse=True)
        assert all(abs(count - numel * (1 - i / 1000)) <= 0.5 + 1e-9 for i, count in enumerate(counts))


def test_masks_by_hand() -> None:
    def row(budget: Budget, sparsity: float | None = None) -> list[list[int]]:
        masks = budget.masks(SCORES, sparsity)
        assert {name: mask.shape for name, mask in masks.items()} == {
            name: score.shape for name, score in SCORES.items()
        }
        return [mask.flatten().int().tolist() for mask in masks.values()]

    assert row(Budget(0.5, SCOPE, Global())) == [[1, 0], [1, 0, 1, 0, 1, 0]]
    assert row(Budget(0.5, SCOPE, Uniform())) == [[1, 0], [1, 0, 1, 0, 1, 0]]
    assert row(Budget(0.5, SCOPE, Erk())) == [[1, 1], [1, 0, 1, 0, 0, 0]]
    assert row(Budget(0.5, SCOPE, Global()), 0.875) == [[1, 0], [0, 0, 0, 0, 0, 0]]
    assert row(Budget(0.5, SCOPE, Global()), 0.0) == [[1, 1], [1] * 6]


@pytest.mark.parametrize("distribution", [Global(), Uniform(), Erk()])
def test_gradual_masks_are_nested(distribution: Global | Uniform | Erk) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = {f"{i}": torch.randn(5 + 3 * i, 4 + i, generator=generator).abs() for i in range(7)}
    budget = Budget(0.9, SCOPE, distribution)
    previous = budget.masks(scores, 0.0)
    for sparsity in (i / 100 for i in range(1, 91)):
        masks = budget.masks(
            {name: score.masked_fill(~previous[name], -math.inf) for name, score in scores.items()}, sparsity
        )
        assert sum(int(mask.sum()) for mask in masks.values()) == kept(
            sum(s.numel() for s in scores.values()), sparsity
        )
        assert all(bool((masks[name] <= previous[name]).all()) for name in masks)
        previous = masks


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5, math.nan])
def test_illegal_sparsity(sparsity: float) -> None:
    with pytest.raises(ValueError, match=r"sparsity=.* below 1"):
        Budget(sparsity, SCOPE, Global())


@pytest.mark.parametrize("sparsity", [-0.1, 1.1, math.nan])
def test_illegal_intermediate_sparsity(sparsity: float) -> None:
    with pytest.raises(ValueError, match="at least 0 and at most 1"):
        kept(8, sparsity)


def test_illegal_scores_name_their_tensor() -> None:
    with pytest.raises(ValueError, match="a score of c is NaN"):
        Budget(0.5, SCOPE, Global()).masks(SCORES | {"c": torch.full((2, 2), math.nan)})
    with pytest.raises(ValueError, match="dtype"):
        Budget(0.5, SCOPE, Global()).masks(SCORES | {"c": torch.ones(2, 2).half()})
