"""Whole numbers in proportion: by hand, and what holds for all."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsity.apportionment import apportion


@pytest.mark.parametrize(
    ("capacities", "weights", "total", "expected"),
    [
        ([9, 9], [1, 2], 6, [2, 4]),
        ([9, 9], [1, 1], 5, [3, 2]),  # 2.5 each round up to 6 together; the later one gives way
        ([1, 9], [2, 1], 6, [1, 5]),  # 4 and 2, but there is one place
        ([9, 9], [0, 1], 6, [0, 6]),
        ([2, 3, 3], [5, 0, 0], 6, [2, 2, 2]),  # what does not fit is shared evenly
        ([4, 4], [0, 0], 4, [2, 2]),
        ([0, 4], [1, 1], 4, [0, 4]),
        ([4, 4], [1, 1], 0, [0, 0]),
        ([4, 4], [1, 9], 8, [4, 4]),
    ],
)
def test_by_hand(capacities: list[int], weights: list[int], total: int, expected: list[int]) -> None:
    assert apportion(capacities, [Fraction(weight) for weight in weights], total) == expected


@given(data=st.data())
def test_counts_fit_sum_and_follow_the_weights(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 6))
    capacities = data.draw(st.lists(st.integers(0, 20), min_size=size, max_size=size))
    weights = [Fraction(data.draw(st.integers(0, 9)), data.draw(st.integers(1, 9))) for _ in range(size)]
    total = data.draw(st.integers(0, sum(capacities)))
    counts = apportion(capacities, weights, total)
    assert sum(counts) == total
    assert all(0 <= count <= capacity for count, capacity in zip(counts, capacities, strict=True))
    for i in range(size):
        for j in range(size):
            if weights[i] > weights[j] and counts[i] < capacities[i]:
                assert counts[i] >= counts[j]
    if total:
        assert all(less <= more for less, more in zip(apportion(capacities, weights, total - 1), counts, strict=True))
