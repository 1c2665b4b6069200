"""How a budget is spread: whole numbers that sum exactly, worked by hand and as properties."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsity.distributions import Distribution, Erk, Global, Group, Uniform

ATTENTION, FFN = torch.Size([1024, 1024]), torch.Size([4096, 1024])
ROBERTA_LARGE = {f"attention{i}": ATTENTION for i in range(96)} | {f"ffn{i}": FFN for i in range(48)}
EIGHT = {"a": torch.Size([2, 1]), "b": torch.Size([2, 3])}


def counts(distribution: Distribution, shapes: dict[str, torch.Size], keep: int) -> list[int]:
    groups = distribution.groups(shapes, keep)
    assert [name for group in groups for name in group.names] == list(shapes)
    return [group.keep for group in groups]


def test_global_is_one_group() -> None:
    assert Global().groups(EIGHT, 3) == [Group(("a", "b"), 3)]


@pytest.mark.parametrize(
    ("distribution", "keep", "expected"),
    [
        (Uniform(), 0, [0, 0]),
        (Uniform(), 4, [1, 3]),  # exactly half
        (Uniform(), 3, [1, 2]),  # shares 0.75 and 2.25
        (Uniform(), 6, [2, 4]),  # shares 1.5 and 4.5 both round up to 7 together; the later one gives way
        (Uniform(), 8, [2, 6]),
        # raw densities 3/2 and 5/6, shares 3 : 5
        (Erk(), 2, [1, 1]),  # 0.75 and 1.25
        (Erk(), 4, [2, 2]),  # 1.5 and 2.5 round up to 5 together; the later one gives way
        (Erk(), 6, [2, 4]),  # 2.25 exceeds the first tensor, which is dense
        (Erk(), 8, [2, 6]),
        (Erk(power=0.0), 4, [1, 3]),
    ],
)
def test_eight_weights(distribution: Distribution, keep: int, expected: list[int]) -> None:
    assert counts(distribution, EIGHT, keep) == expected


@pytest.mark.parametrize(
    ("sparsity", "attention", "ffn"), [(0.2, 1.0, 0.70), (0.488, 0.683, 0.427), (0.893, 0.143, 0.089)]
)
def test_erk_of_roberta_large(sparsity: float, attention: float, ffn: float) -> None:
    keep = round(301_989_888 * (1 - sparsity))
    found = counts(Erk(), ROBERTA_LARGE, keep)
    assert sum(found) == keep
    assert found[0] / ATTENTION.numel() == pytest.approx(attention, abs=6e-4)
    assert found[-1] / FFN.numel() == pytest.approx(ffn, abs=6e-4)


shapes = st.lists(st.lists(st.integers(1, 9), min_size=2, max_size=3), min_size=1, max_size=6).map(
    lambda sizes: {f"tensor{i}": torch.Size(size) for i, size in enumerate(sizes)}
)


@settings(max_examples=60, deadline=None)
@given(shapes=shapes, power=st.sampled_from([0.0, 0.5, 1.0, 2.0]))
def test_sums_exactly_and_shrinks_monotonically(shapes: dict[str, torch.Size], power: float) -> None:
    total = sum(shape.numel() for shape in shapes.values())
    found = []
    for keep in range(total + 1):
        for distribution in (Erk(power), Uniform()) if power == 0 else (Erk(power),):
            try:
                kept = counts(distribution, shapes, keep)
            except ValueError:
                continue
            assert sum(kept) == keep
            assert all(0 <= count <= shape.numel() for count, shape in zip(kept, shapes.values(), strict=True))
            assert keep == 0 or 0 not in kept
            found.append(kept)
    assert all(fewer <= more for less, greater in pairwise(found) for fewer, more in zip(less, greater, strict=True))


@settings(max_examples=100, deadline=None)
@given(shapes=shapes, share=st.floats(0, 1))
def test_uniform_is_within_two_weights_of_the_same_density(shapes: dict[str, torch.Size], share: float) -> None:
    total = sum(shape.numel() for shape in shapes.values())
    keep = round(total * share)
    try:
        kept = counts(Uniform(), shapes, keep)
    except ValueError:
        return
    ideal = [keep * shape.numel() / total for shape in shapes.values()]
    assert all(abs(count - share) <= 2 for count, share in zip(kept, ideal, strict=True))


@pytest.mark.parametrize("distribution", [Uniform(), Erk()])
def test_illegal_empty_tensor(distribution: Distribution) -> None:
    shapes = {"head": torch.Size([1, 10]), "body": torch.Size([30, 30])}
    with pytest.raises(ValueError, match="leaves head without weights when it keeps 1 of 910") as error:
        distribution.groups(shapes, 1)
    nearest = float(str(error.value).split()[-1])
    keep = round(910 * (1 - nearest))
    assert 0 not in counts(distribution, shapes, keep)
    with pytest.raises(ValueError, match="without weights"):
        distribution.groups(shapes, keep - 1)


@pytest.mark.parametrize("distribution", [Global(), Uniform(), Erk()])
@pytest.mark.parametrize("keep", [-1, 9])
def test_illegal_keep(distribution: Distribution, keep: int) -> None:
    with pytest.raises(ValueError, match=f"cannot keep {keep} of 8 weights"):
        distribution.groups(EIGHT, keep)


@pytest.mark.parametrize("power", [-1.0, 17.0, float("nan")])
def test_illegal_power(power: float) -> None:
    with pytest.raises(ValueError, match=r"distribution\.power"):
        Erk(power)
