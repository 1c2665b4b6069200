"""Drop and grow: eight weights by hand, and a count that never changes."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sparsity import drop_grow
from sparsity.exchange import PerTensor

MASK = torch.tensor([1, 1, 1, 1, 0, 0, 0, 0]).bool()
WEIGHT = torch.tensor([4.0, 1.0, 3.0, 2.0, 0.0, 0.0, 0.0, 0.0])


def drop_and_grow(mask: Tensor, drop: Tensor, grow: Tensor, fraction: float) -> Tensor:
    """The update of a single tensor."""
    return drop_grow.drop_and_grow([mask], [drop], [grow], fraction)[0]


def row(mask: Tensor, drop: list[float], grow: list[float], fraction: float) -> list[int]:
    return (
        drop_and_grow(mask, torch.tensor(drop, dtype=torch.float32), torch.tensor(grow, dtype=torch.float32), fraction)
        .int()
        .tolist()
    )


@pytest.mark.parametrize(
    ("fraction", "grow", "expected"),
    [
        (0.0, [0, 0, 0, 0, 9, 9, 9, 9], [1, 1, 1, 1, 0, 0, 0, 0]),
        (0.24, [0, 0, 0, 0, 9, 9, 9, 9], [1, 1, 1, 1, 0, 0, 0, 0]),  # rounded down to none
        (0.5, [0, 0, 0, 0, 1, 2, 4, 3], [1, 0, 1, 0, 0, 0, 1, 1]),
        (0.5, [9, 0, 9, 0, 1, 2, 4, 3], [1, 0, 1, 0, 0, 0, 1, 1]),  # kept weights cannot be grown
        (0.5, [0, 9, 0, 0, 1, 2, 4, 3], [1, 1, 1, 0, 0, 0, 1, 0]),  # a dropped weight returns
        (0.5, [0, 0, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0, 0, 0]),  # ties: the lower index
        (1.0, [1, 2, 3, 4, 5, 6, 7, 8], [0, 0, 0, 0, 1, 1, 1, 1]),
    ],
)
def test_eight_weights(fraction: float, grow: list[float], expected: list[int]) -> None:
    assert row(MASK, WEIGHT.tolist(), grow, fraction) == expected


def test_a_score_of_infinity_is_never_dropped() -> None:
    inf = math.inf
    grow = [0, 0, 0, 0, 1, 2, 4, 3]
    assert row(MASK, [inf, 1, inf, 2, 0, 0, 0, 0], grow, 0.5) == [1, 0, 1, 0, 0, 0, 1, 1]
    assert row(MASK, [4, inf, inf, inf, 0, 0, 0, 0], grow, 0.5) == [0, 1, 1, 1, 0, 0, 1, 0]  # one of two may go
    assert row(MASK, [inf] * 8, grow, 1.0) == MASK.int().tolist()


def test_each_tensor_keeps_its_count_through_a_thousand_updates_with_sparse_gradients() -> None:
    """As RigL's with embeddings in scope: most rows see no gradient, so that growing them is all ties at zero."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"embeddings": (40, 8), "query": (8, 8), "dense": (32, 8)}
    masks = {name: torch.rand(shape, generator=generator) < 0.3 for name, shape in shapes.items()}
    counts = {name: int(mask.sum()) for name, mask in masks.items()}
    first, changed = {name: mask.clone() for name, mask in masks.items()}, 0
    for update in range(1000):
        drop = {name: torch.randn(shape, generator=generator).abs() * masks[name] for name, shape in shapes.items()}
        grow = {name: torch.randn(shape, generator=generator).abs() for name, shape in shapes.items()}
        grow["embeddings"][torch.randperm(40, generator=generator)[:37]] = 0.0
        new = PerTensor().update(masks, drop, grow, counts, 0.15 * (1 + math.cos(math.pi * update / 1000)))
        changed += any(not torch.equal(new[name], masks[name]) for name in masks)
        masks = new
        assert {name: int(mask.sum()) for name, mask in masks.items()} == counts
    assert changed > 800
    assert all(not torch.equal(masks[name], first[name]) for name in masks)


@pytest.mark.parametrize("kept", [0, 8])
@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
def test_empty_and_full_masks_stay(kept: int, fraction: float) -> None:
    mask = torch.arange(8) < kept
    assert torch.equal(drop_and_grow(mask, WEIGHT, WEIGHT.flip(0), fraction), mask)


def test_a_fraction_is_the_decimal_number_it_is_written_as() -> None:
    mask = torch.arange(200) < 100
    drop, grow = torch.arange(200.0), torch.arange(200.0)
    new = drop_and_grow(mask, drop, grow, 0.29)  # 0.29 * 100 is 28.999999999999996 in floats
    assert int((mask & ~new).sum()) == 29


values = st.sampled_from([0.0, 1.0, 2.0, 0.5, -3.0, math.inf, -math.inf, torch.finfo(torch.float32).min])


@settings(max_examples=300, deadline=None)
@given(data=st.data(), fraction=st.floats(0, 1))
def test_forbidden_places_are_never_chosen(data: st.DataObject, fraction: float) -> None:
    size = data.draw(st.integers(1, 30))
    lists = st.lists(values, min_size=size, max_size=size)
    mask = torch.tensor(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    drop, grow = torch.tensor(data.draw(lists)), torch.tensor(data.draw(lists))
    before = mask.clone(), drop.clone(), grow.clone()
    new = drop_and_grow(mask, drop, grow, fraction)
    kept = int(mask.sum())
    exchanged = min(math.floor(Fraction(repr(fraction)) * kept), int((mask & ~drop.isposinf()).sum()))
    assert int(new.sum()) == kept
    # The highest drop scores among the kept stay, found by sorting them alone.
    candidates = mask.nonzero().squeeze(1)
    order = drop[candidates].sort(descending=True, stable=True).indices
    stays = torch.zeros(size, dtype=torch.bool)
    stays[candidates[order[: kept - exchanged]]] = True
    candidates = (~stays).nonzero().squeeze(1)
    order = grow[candidates].sort(descending=True, stable=True).indices
    grown = torch.zeros(size, dtype=torch.bool)
    grown[candidates[order[:exchanged]]] = True
    lowest = torch.finfo(torch.float32).min
    if lowest not in drop.tolist() + grow.tolist():  # the one number that ties with -inf
        assert torch.equal(new, stays | grown)
    assert all(torch.equal(now, then) for now, then in zip((mask, drop, grow), before, strict=True))


def test_gradients_of_zero_in_untouched_rows() -> None:
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(50, 16, generator=generator) < 0.2
    kept = int(mask.sum())
    for _ in range(10):
        gradient = torch.zeros(50, 16)
        gradient[:3] = torch.randn(3, 16, generator=generator)
        mask = drop_and_grow(mask, torch.randn(50, 16, generator=generator).abs(), gradient.abs(), 0.5)
        assert int(mask.sum()) == kept


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes(dtype: torch.dtype) -> None:
    new = drop_and_grow(MASK, WEIGHT.to(dtype), torch.tensor([0, 0, 0, 0, 1, 2, 4, 3]).to(dtype), 0.5)
    assert new.int().tolist() == [1, 0, 1, 0, 0, 0, 1, 1]


@pytest.mark.parametrize("fraction", [-0.1, 1.1, math.nan])
def test_illegal_fraction(fraction: float) -> None:
    with pytest.raises(ValueError, match="the drop fraction"):
        drop_and_grow(MASK, WEIGHT, WEIGHT, fraction)


@pytest.mark.parametrize("which", [0, 1])
def test_illegal_nan(which: int) -> None:
    scores = [WEIGHT, WEIGHT.clone()]
    scores[which] = torch.full((8,), math.nan)
    with pytest.raises(ValueError, match="NaN"):
        drop_and_grow(MASK, *scores, 0.5)
