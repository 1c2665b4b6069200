"""Exchange between tensors: two of four weights by hand, and a total that never changes."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsity.drop_grow import share
from sparsity.exchange import ByGrowScore, ByKept, Exchange, Global, PerTensor, SoftBound

MASKS = {"a": [1, 1, 1, 0], "b": [1, 0, 0, 0]}
DROP = {"a": [1, 2, 3, 0], "b": [5, 0, 0, 0]}
GROW = {"a": [0, 4, 4, 1], "b": [2, 6, 5, 3]}
EXCHANGES = [PerTensor(), Global(), ByGrowScore(), ByKept(), SoftBound()]


def update(
    exchange: Exchange, masks: dict, drop: dict, grow: dict, fraction: float, own: dict | None = None
) -> dict[str, list[int]]:
    floats = [{name: torch.tensor(row, dtype=torch.float32) for name, row in rows.items()} for rows in (drop, grow)]
    bools = {name: torch.tensor(row).bool() for name, row in masks.items()}
    own = own or {name: sum(row) for name, row in masks.items()}
    return {name: mask.int().tolist() for name, mask in exchange.update(bools, *floats, own, fraction).items()}


@pytest.mark.parametrize(
    ("exchange", "fraction", "expected"),
    [
        (PerTensor(), 0.5, {"a": [0, 1, 1, 1], "b": [1, 0, 0, 0]}),  # 1.5 and 0.5, rounded down
        (PerTensor(), 1.0, {"a": [0, 1, 1, 1], "b": [0, 1, 0, 0]}),
        (Global(), 0.25, {"a": [0, 1, 1, 0], "b": [1, 1, 0, 0]}),
        (Global(), 0.5, {"a": [0, 0, 1, 0], "b": [1, 1, 1, 0]}),
        (ByGrowScore(), 0.5, {"a": [0, 1, 1, 1], "b": [1, 0, 0, 0]}),  # one; means 8/3 and 2, shares 0.57 and 0.43
        (ByGrowScore(), 1.0, {"a": [0, 1, 1, 0], "b": [0, 1, 1, 0]}),  # four; shares 2.29 and 1.71
        (ByKept(), 0.25, {"a": [0, 1, 1, 1], "b": [1, 0, 0, 0]}),  # one; 2 and 1 are left, shares 0.67 and 0.33
        (ByKept(), 0.5, {"a": [0, 1, 1, 0], "b": [1, 1, 0, 0]}),  # two; 1 and 1 are left
    ],
    ids=str,
)
def test_two_tensors_of_four(exchange: Exchange, fraction: float, expected: dict[str, list[int]]) -> None:
    assert update(exchange, MASKS, DROP, GROW, fraction) == expected


def test_the_larger_mean_grows_more() -> None:
    found = update(ByGrowScore(), MASKS, DROP, GROW | {"b": [8, 6, 5, 3]}, 1.0)  # means 8/3 and 8, shares 1 and 3
    assert found == {"a": [0, 1, 0, 0], "b": [1, 1, 1, 0]}


def test_what_does_not_fit_goes_to_the_others() -> None:
    masks, drop = {"a": [1, 1, 1, 1], "b": [1, 1, 1, 0]}, {"a": [1, 2, 3, 4], "b": [5, 6, 7, 0]}
    # Two of a and one of b go. All three should come back in b, which has two places, although a weighs nothing.
    assert update(ByGrowScore(), masks, drop, {"a": [0, 0, 0, 0], "b": [8, 8, 8, 1]}, 0.5) == {
        "a": [1, 0, 1, 1],
        "b": [1, 1, 1, 1],
    }


def test_without_any_momentum_growth_is_shared_evenly() -> None:
    zeros = {"a": [0, 0, 0, 0], "b": [0, 0, 0, 0]}
    assert update(ByGrowScore(), MASKS, DROP, zeros, 1.0) == {"a": [1, 1, 0, 0], "b": [1, 1, 0, 0]}


@pytest.mark.parametrize(
    ("mask", "drop", "fraction", "expected"),
    [
        ([1, 1, 1, 1, 0, 0, 0, 0], [4, 1, 3, 2, 0, 0, 0, 0], 0.5, [1, 1, 1, 1, 0, 0, 1, 1]),  # first: nothing goes
        ([1, 1, 1, 1, 0, 0, 1, 1], [4, 1, 3, 2, 0, 0, 5, 0], 0.5, [1, 0, 1, 1, 0, 1, 1, 1]),  # one newborn replaces
        ([1, 1, 1, 1, 0, 0, 1, 1], [4, 1, 3, 2, 0, 0, 5, 6], 0.25, [1, 0, 1, 0, 0, 1, 1, 1]),  # less is grown
        ([1, 1, 1, 1, 0, 0, 1, 1], [4, 1, 3, 2, 0, 0, 0, 0], 0.25, [1, 1, 1, 1, 0, 0, 1, 0]),  # the dropped may return
        ([1, 1, 1, 1, 0, 0, 1, 1], [4, 1, 3, 2, 0, 0, 5, 6], 0.0, [1, 0, 1, 0, 0, 0, 1, 1]),  # last: nothing is grown
        ([1, 1, 1, 1, 0, 0, 1, 1], [math.inf] * 8, 0.0, [1, 1, 1, 1, 0, 0, 0, 0]),  # the count comes first
    ],
)
def test_a_surplus_on_eight_weights(mask: list, drop: list, fraction: float, expected: list) -> None:
    grow = [0, 0, 0, 0, 1, 2, 4, 3]
    assert update(SoftBound(), {"": mask}, {"": drop}, {"": grow}, fraction, {"": 4}) == {"": expected}


def test_a_surplus_grows_no_further_than_there_are_places() -> None:
    ones = {"": [1, 1, 1, 0]}
    assert update(SoftBound(), ones, ones, ones, 1.0) == {"": [1, 1, 1, 1]}


@pytest.mark.parametrize("exchange", EXCHANGES, ids=str)
@settings(max_examples=100, deadline=None)
@given(data=st.data(), fraction=st.floats(0, 1))
def test_the_total_stays_and_scale_does_not_matter(exchange: Exchange, data: st.DataObject, fraction: float) -> None:
    sizes = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))
    values = st.sampled_from([0.0, 1.0, 2.0, 0.5, 8.0])  # ties, gradients of zero, and exact under doubling

    def draw(elements: st.SearchStrategy) -> dict[str, list]:
        lists = (data.draw(st.lists(elements, min_size=size, max_size=size)) for size in sizes)
        return {f"tensor{i}": row for i, row in enumerate(lists)}

    masks, drop, grow = draw(st.booleans()), draw(values), draw(values)
    new = update(exchange, masks, drop, grow, fraction)
    own = {name: sum(row) for name, row in masks.items()}
    if exchange.has_surplus:
        more = {name: min(share(fraction, count), len(masks[name]) - count) for name, count in own.items()}
        assert {name: sum(row) - own[name] for name, row in new.items()} == more
        again = update(exchange, new, drop, grow, 0.0, own)
        assert {name: sum(row) for name, row in again.items()} == own
    else:
        assert sum(map(sum, new.values())) == sum(own.values())
    if exchange.keeps_counts and not exchange.has_surplus:
        assert {name: sum(row) for name, row in new.items()} == own
    scaled = [{name: [4 * value for value in row] for name, row in rows.items()} for rows in (drop, grow)]
    assert update(exchange, masks, *scaled, fraction) == new


@pytest.mark.parametrize("exchange", EXCHANGES, ids=str)
def test_infinite_drop_scores_stay(exchange: Exchange) -> None:
    drop = {"a": [math.inf, math.inf, 3, 0], "b": [math.inf, 0, 0, 0]}
    found = update(exchange, MASKS, drop, GROW, 1.0)
    assert found["a"][:2] == [1, 1]
    assert found["b"][0] == 1


@pytest.mark.parametrize("exchange", EXCHANGES, ids=str)
@pytest.mark.parametrize("which", [0, 1])
def test_illegal_nan(exchange: Exchange, which: int) -> None:
    scores = [DROP, GROW]
    scores[which] = scores[which] | {"a": [math.nan] * 4}
    with pytest.raises(ValueError, match=r"(?i)\bnan\b"):
        update(exchange, MASKS, *scores, 1.0)


@pytest.mark.parametrize("exchange", EXCHANGES, ids=str)
def test_illegal_fraction(exchange: Exchange) -> None:
    with pytest.raises(ValueError, match=r"the drop fraction 1\.5"):
        update(exchange, MASKS, DROP, GROW, 1.5)
