"""What is kept or dropped together: tables by hand, exact counts under ties, nested masks, refusals."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sparsity.budget import Budget, kept
from sparsity.distributions import Distribution, Erk, Global, PerRow, Uniform
from sparsity.drop_grow import drop_and_grow
from sparsity.patterns import NM, Block, Pattern, Unstructured
from sparsity.scope import Scope

SCOPE = Scope(["weight$"])
EIGHT = {
    "a": torch.tensor([[8.0, 1.0, 7.0, 2.0]]),
    "b": torch.tensor([[3.0, 6.0, 5.0, 4.0]]),
}
# 2 x 2 blocks with the means 4, 1 and 3, 2
BLOCKS = torch.tensor([[9.0, 7.0, 1.0, 1.0], [0.0, 0.0, 2.0, 0.0], [3.0, 3.0, 2.0, 2.0], [3.0, 3.0, 0.0, 4.0]])


def rows(masks: dict[str, Tensor]) -> list[list[list[int]]]:
    return [mask.int().tolist() for mask in masks.values()]


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        (4, [[[1, 0, 1, 0]], [[0, 1, 1, 0]]]),  # two of every four
        (6, [[[1, 0, 1, 0]], [[1, 1, 1, 1]]]),  # 1 and 2 are less than 3 and 4: the first group is pruned first
        (8, [[[1, 1, 1, 1]], [[1, 1, 1, 1]]]),
    ],
)
@pytest.mark.parametrize("distribution", [Global(), Uniform(), Erk(), PerRow()])
def test_two_of_four_of_eight_weights(distribution: Distribution, keep: int, expected: list[list[list[int]]]) -> None:
    assert rows(NM(2, 4).masks(EIGHT, keep, distribution)) == expected


def test_one_of_two_of_eight_weights() -> None:
    assert rows(NM(1, 2).masks(EIGHT, 4, Global())) == [[[1, 0, 1, 0]], [[0, 1, 1, 0]]]
    assert rows(NM(1, 2).masks(EIGHT, 6, Global())) == [[[1, 0, 1, 0]], [[1, 1, 1, 1]]]
    assert rows(NM(3, 4).masks(EIGHT, 6, Global())) == [[[1, 0, 1, 1]], [[0, 1, 1, 1]]]


def test_one_block_of_eight_weights_stays_whole() -> None:
    scores = {"a": torch.tensor([[9.0, 0.0], [1.0, 1.0], [2.0, 3.0], [4.0, 3.0]])}  # means 2.75 and 3
    assert rows(Block(2, 2).masks(scores, 4, Global())) == [[[0, 0], [0, 0], [1, 1], [1, 1]]]
    assert rows(Block(1, 2).masks(scores, 4, Global())) == [[[1, 1], [0, 0], [0, 0], [1, 1]]]
    assert rows(Block(4, 1).masks(scores, 4, Global())) == [[[1, 0], [1, 0], [1, 0], [1, 0]]]  # 4 and 1.75
    assert rows(Unstructured().masks(scores, 4, Global())) == [[[1, 0], [0, 0], [0, 1], [1, 1]]]


@pytest.mark.parametrize(
    ("keep", "distribution", "expected"),
    [
        (4, Global(), [[1, 0], [0, 0]]),
        (8, Global(), [[1, 0], [1, 0]]),
        (8, PerRow(), [[1, 0], [1, 0]]),
        (12, Global(), [[1, 0], [1, 1]]),
        (9, Global(), [[1, 0], [1, 0]]),  # the nearest number of blocks
        (11, Global(), [[1, 0], [1, 1]]),
    ],
)
def test_sixteen_weights_in_blocks(keep: int, distribution: Distribution, expected: list[list[int]]) -> None:
    masks = Block(2, 2).masks({"a": BLOCKS}, keep, distribution)
    assert rows(masks) == [torch.tensor(expected).repeat_interleave(2, 0).repeat_interleave(2, 1).tolist()]
    assert Block(2, 2).pooled({"a": BLOCKS})["a"].tolist() == [[4.0, 1.0], [3.0, 2.0]]


def test_blocks_are_exchanged_whole() -> None:
    block = Block(2, 2)
    mask = torch.tensor([[1, 0], [1, 0]]).bool()
    masks = block.spread({"a": mask})
    assert torch.equal(block.pooled(masks)["a"], mask)
    gradient = torch.zeros(4, 4)
    gradient[0, 3] = 1.0
    drop, grow = block.pooled({"a": BLOCKS})["a"], block.pooled({"a": gradient})["a"]
    (units,) = drop_and_grow([mask], [drop], [grow], 0.5)
    new = block.spread({"a": units})
    assert rows(new) == [[[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]]]  # 3 is less than 4


def test_unstructured_is_a_block_of_one_weight() -> None:
    scores = {"a": torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), "b": torch.ones(4, 8)}
    for distribution in (Global(), Uniform(), Erk(), PerRow()):
        one, other = (pattern.masks(scores, 20, distribution) for pattern in (Unstructured(), Block(1, 1)))
        assert rows(one) == rows(other)


def of_four(scores: dict[str, Tensor], n: int) -> dict[str, Tensor]:
    """N:M by sorting every group of four."""
    masks = {}
    for name, score in scores.items():
        mask = torch.zeros(score.numel())
        for start in range(0, score.numel(), 4):
            group = score.flatten()[start : start + 4].tolist()
            for place in sorted(range(4), key=lambda i, group=group: (-group[i], i))[:n]:  # type: ignore[misc]
                mask[start + place] = 1
        masks[name] = mask.view(score.shape).bool()
    return masks


matrices = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=3)
values = st.sampled_from([0.0, 1.0, 2.0, -1.0, 0.5])


def drawn(data: st.DataObject, sizes: list[tuple[int, int]]) -> dict[str, Tensor]:
    found = {}
    for i, (r, c) in enumerate(sizes):
        flat = data.draw(st.lists(values, min_size=16 * r * c, max_size=16 * r * c))
        found[f"tensor{i}"] = torch.tensor(flat).view(4 * r, 4 * c)
    return found


@settings(max_examples=60, deadline=None)
@given(data=st.data(), sizes=matrices, n=st.integers(1, 3))
def test_n_m_equals_sorting_every_group_under_ties(data: st.DataObject, sizes: list[tuple[int, int]], n: int) -> None:
    scores = drawn(data, sizes)
    masks = Budget(1 - n / 4, SCOPE, Global(), NM(n, 4)).masks(scores)
    expected = of_four(scores, n)
    assert all(torch.equal(masks[name], expected[name]) for name in scores)
    scaled = Budget(1 - n / 4, SCOPE, Global(), NM(n, 4)).masks({name: 4 * score for name, score in scores.items()})
    assert all(torch.equal(masks[name], scaled[name]) for name in scores)


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    sizes=matrices,
    sparsity=st.floats(0, 0.9),
    block=st.sampled_from([Block(4, 4), Block(2, 4), Block(1, 2), Block(4, 1)]),
)
def test_blocks_are_whole_and_as_many_as_come_nearest_under_ties(
    data: st.DataObject, sizes: list[tuple[int, int]], sparsity: float, block: Block
) -> None:
    scores = drawn(data, sizes)
    numel = sum(score.numel() for score in scores.values())
    units = round(kept(numel, sparsity) / block.size)
    budget = Budget(sparsity, SCOPE, Global(), block)
    if units == 0:
        with pytest.raises(ValueError, match="at most half a unit of pattern=block"):
            budget.masks(scores)
        return
    masks = budget.masks(scores)
    count = sum(int(mask.sum()) for mask in masks.values())
    assert count == units * block.size
    assert budget.met({name: score.shape for name, score in scores.items()}, count)
    for mask in masks.values():
        for tile in mask.unfold(0, block.rows, block.rows).unfold(1, block.cols, block.cols).flatten(0, 1):
            assert bool(tile.all()) or not bool(tile.any())


@pytest.mark.parametrize("distribution", [Global(), Uniform(), Erk(), PerRow()])
@pytest.mark.parametrize("pattern", [Unstructured(), Block(2, 2), NM(2, 4)], ids=lambda p: p.label)
def test_gradual_masks_are_nested_and_end_on_the_target(pattern: Pattern, distribution: Distribution) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = {f"{i}": torch.Size([8 + 4 * i, 16]) for i in range(4)}
    budget = Budget(0.5, SCOPE, distribution, pattern)
    previous = {name: torch.ones(shape).bool() for name, shape in shapes.items()}
    for sparsity in (i / 40 for i in range(21)):
        scores = {  # new ones at every update
            name: torch.rand(mask.shape, generator=generator).masked_fill(~mask, -math.inf)
            for name, mask in previous.items()
        }
        masks = budget.masks(scores, sparsity)
        assert all(bool((masks[name] <= previous[name]).all()) for name in masks)
        count, numel = sum(int(mask.sum()) for mask in masks.values()), sum(s.numel() for s in shapes.values())
        # Half a weight; half a unit of 4 weights, or of the 2 that a group loses; where rows are rounded, that in each.
        limit = {"unstructured": 0.5, "block": 2.5, "n_m": 1.5}[pattern.label]
        if isinstance(distribution, PerRow):
            limit += {"unstructured": 28, "block": 56, "n_m": 0}[pattern.label]
        assert abs(count - (1 - sparsity) * numel) <= limit
        previous = masks
    targets = budget.targets(shapes)
    assert all(target in (None, int(previous[name].sum())) for name, target in targets.items())
    assert budget.met(shapes, count)
    if isinstance(pattern, NM):
        assert all(bool((mask.view(-1, 4).sum(1) == 2).all()) for mask in masks.values())


@pytest.mark.parametrize(("n", "m", "sparsity"), [(2, 4, 0.5), (4, 8, 0.5), (1, 4, 0.75), (1, 3, 2 / 3), (2, 3, 1 / 3)])
def test_n_m_is_one_sparsity(n: int, m: int, sparsity: float) -> None:
    scores = {"a": torch.rand(5, 2 * m)}
    assert int(Budget(sparsity, SCOPE, Global(), NM(n, m)).masks(scores)["a"].sum()) == 10 * n
    with pytest.raises(ValueError, match="is none that pattern=n_m has") as error:
        Budget(0.8, SCOPE, Global(), NM(n, m))
    Budget(float(str(error.value).split("=")[-1]), SCOPE, Global(), NM(n, m))


def test_illegal_block_names_the_nearest_that_fits_every_tensor() -> None:
    shapes = {"a": torch.Size([12, 64]), "b": torch.Size([18, 64])}
    with pytest.raises(ValueError, match=r"do not divide b of shape \(18, 64\); .*pattern\.rows=3 pattern\.cols=16"):
        Block(4, 16).check(shapes)
    Block(3, 16).check(shapes)
    with pytest.raises(ValueError, match=r"pattern\.rows=2 pattern\.cols=4"):
        Block(2, 5).check(shapes)


def test_illegal_m_names_the_nearest_that_fits_every_tensor() -> None:
    with pytest.raises(ValueError, match=r"pattern\.m=4 .* b of shape \(4, 6\); .* pattern\.m=2"):
        NM(2, 4).check({"a": torch.Size([4, 8]), "b": torch.Size([4, 6])})


@pytest.mark.parametrize("pattern", [Block(1, 1), NM(1, 2)])
def test_illegal_dimensions(pattern: Pattern) -> None:
    with pytest.raises(ValueError, match=r"of matrices, but conv in scope has shape \(2, 2, 2\)"):
        pattern.check({"conv": torch.Size([2, 2, 2])})


@pytest.mark.parametrize(("rows_", "cols", "named"), [(0, 4, "pattern.rows=0"), (4, -1, "pattern.cols=-1")])
def test_illegal_block_size(rows_: int, cols: int, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Block(rows_, cols)


@pytest.mark.parametrize(("n", "m"), [(0, 4), (4, 4), (5, 4), (-1, 2)])
def test_illegal_n_m(n: int, m: int) -> None:
    with pytest.raises(ValueError, match=f"pattern.n={n} and pattern.m={m}"):
        NM(n, m)


@pytest.mark.parametrize("pattern", [Unstructured(), Block(1, 2), NM(2, 4)], ids=lambda p: p.label)
def test_illegal_nan_names_its_tensor(pattern: Pattern) -> None:
    scores = EIGHT | {"c": torch.tensor([[1.0, math.nan, 2.0, 3.0]])}
    with pytest.raises(ValueError, match="a score of c is NaN"):
        Budget(0.5, SCOPE, Global(), pattern).masks(scores)


def test_densities_shrink_monotonically_in_blocks() -> None:
    shapes = {"a": torch.Size([8, 4]), "b": torch.Size([4, 16])}
    counts = [Block(2, 2).targets(shapes, keep, Uniform()) for keep in range(96, 7, -1)]
    assert all(less[name] <= more[name] for more, less in pairwise(counts) for name in shapes)  # type: ignore[operator]


def test_n_m_ranks_infinite_scores() -> None:
    scores = {"a": torch.tensor([[math.inf, math.inf, math.inf, -math.inf], [0.0, 1.0, 2.0, 3.0]])}
    assert rows(NM(2, 4).masks(scores, 4, Global())) == [[[1, 1, 0, 0], [0, 0, 1, 1]]]
    assert rows(NM(2, 4).masks(scores, 6, Global())) == [[[1, 1, 1, 1], [0, 0, 1, 1]]]


def test_a_group_with_fewer_left_than_it_may_keep_gets_none_back() -> None:
    scores = {"w": torch.tensor([[1.0, -math.inf, -math.inf, -math.inf, 4.0, 3.0, 2.0, 1.0]])}
    assert NM(2, 4).masks(scores, 4, Global())["w"].int().tolist() == [[1, 0, 0, 0, 1, 1, 0, 0]]
