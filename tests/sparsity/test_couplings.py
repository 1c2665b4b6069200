"""Heads and neurons: a table by hand, exact to within a unit, whatever is coupled goes together."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sparsity.budget import Budget
from sparsity.couplings import Coupling, HeadsAndNeurons
from sparsity.distributions import Global, Uniform
from sparsity.scope import Scope

SCOPE = Scope(["weight$"])


def pattern(size: int) -> HeadsAndNeurons:
    return HeadsAndNeurons(Coupling(r"(query|key)\.weight$", r"out\.weight$", size), Coupling(r"up\.", r"down\.", 1))


def network(layers: int, value: float | None = None, seed: int = 0) -> dict[str, Tensor]:
    """Scores of layers of width 4 with two heads and three neurons."""
    generator, found = torch.Generator().manual_seed(seed), {}
    for layer in range(layers):
        sizes = {"query": (4, 4), "key": (4, 4), "out": (4, 4), "up": (3, 4), "down": (4, 3)}
        for name, size in sizes.items():
            drawn = torch.rand(size, generator=generator)
            found[f"{layer}.{name}.weight"] = drawn if value is None else torch.full(size, value)
    return found


def test_eight_weights() -> None:
    """Two neurons of width 2: the rows of one matrix and the columns of the other."""
    scores = {"0.up.weight": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "0.down.weight": torch.tensor([[9.0, 0.0]] * 2)}
    masks = pattern(1).masks(scores, 4, Global())  # means 5.25 and 1.75
    assert [mask.int().tolist() for mask in masks.values()] == [[[1, 1], [0, 0]], [[1, 0], [1, 0]]]
    scores["0.down.weight"][:, 0] = -1.0  # means 0.25 and 1.75
    masks = pattern(1).masks(scores, 4, Global())
    assert [mask.int().tolist() for mask in masks.values()] == [[[0, 0], [1, 1]], [[0, 1], [0, 1]]]


def test_a_head_is_rows_and_columns() -> None:
    scores = network(1, 1.0)
    scores["0.query.weight"][2:] = 3.0  # makes the second head the best unit
    masks = pattern(2).masks(scores, 24, Global())
    head = torch.tensor([0, 0, 1, 1]).bool()
    assert torch.equal(masks["0.query.weight"], head.unsqueeze(1).expand(4, 4))
    assert torch.equal(masks["0.key.weight"], head.unsqueeze(1).expand(4, 4))
    assert torch.equal(masks["0.out.weight"], head.unsqueeze(0).expand(4, 4))
    assert not masks["0.up.weight"].any()


@settings(max_examples=60, deadline=None)
@given(keep=st.integers(13, 144), seed=st.integers(0, 5), ties=st.booleans())
def test_the_count_is_exact_to_within_a_unit(keep: int, seed: int, ties: bool) -> None:
    scores = network(2, 1.0 if ties else None, seed)
    masks = pattern(2).masks(scores, keep, Global())
    assert abs(sum(int(mask.sum()) for mask in masks.values()) - keep) <= 12  # half of a head of 24
    for layer in "01":
        heads = masks[f"{layer}.query.weight"]
        assert torch.equal(heads, masks[f"{layer}.key.weight"])
        assert torch.equal(heads, masks[f"{layer}.out.weight"].T)
        assert torch.equal(masks[f"{layer}.up.weight"], masks[f"{layer}.down.weight"].T)


def test_gradual_masks_are_nested() -> None:
    budget = Budget(0.9, SCOPE, Global(), pattern(2))
    previous = {name: torch.ones_like(score).bool() for name, score in network(2).items()}
    for step in range(19):
        scores = network(2, seed=step)
        masks = budget.masks({name: s.masked_fill(~previous[name], -math.inf) for name, s in scores.items()}, step / 20)
        assert all(bool((masks[name] <= previous[name]).all()) for name in masks)
        previous = masks
    shapes = {name: mask.shape for name, mask in masks.items()}
    assert budget.met(shapes, sum(int(mask.sum()) for mask in masks.values()))
    assert set(budget.targets(shapes).values()) == {None}


def test_a_scope_may_have_heads_only() -> None:
    scores = {name: score for name, score in network(2).items() if "up" not in name and "down" not in name}
    shapes = {name: score.shape for name, score in scores.items()}
    pattern(2).check(shapes)
    assert pattern(2).tolerance(shapes, Global()) == 24
    assert sum(int(mask.sum()) for mask in pattern(2).masks(scores, 48, Global()).values()) == 48


def test_illegal_distribution() -> None:
    shapes = {name: score.shape for name, score in network(1).items()}
    with pytest.raises(ValueError, match="use distribution=global"):
        Budget(0.5, SCOPE, Uniform(), pattern(2)).targets(shapes)


def test_illegal_scope() -> None:
    with pytest.raises(ValueError, match="embeddings is in scope, but has no part in the heads and neurons"):
        pattern(2).check({"embeddings": torch.Size([5, 4])})


def test_illegal_head_size() -> None:
    with pytest.raises(ValueError, match=r"pattern\.heads\.size=3 does not divide dimension 0 of 0\.query\.weight"):
        pattern(3).check({name: score.shape for name, score in network(1).items()})
    with pytest.raises(ValueError, match="size=0 of a unit"):
        pattern(0)


def test_illegal_numbers_of_units() -> None:
    with pytest.raises(ValueError, match=r"0\.up\.weight has 3 units of pattern\.neurons, but 0\.down\.weight has 4"):
        pattern(2).check({"0.up.weight": torch.Size([3, 4]), "0.down.weight": torch.Size([4, 4])})


def test_illegal_expression() -> None:
    with pytest.raises(ValueError, match="columns has an invalid regular expression"):
        Coupling("a", "(open", 1)


def test_illegal_scores_and_counts() -> None:
    scores = network(1)
    with pytest.raises(ValueError, match="at most half of the best unit"):
        pattern(2).masks(network(1, 1.0), 3, Global())
    scores["0.up.weight"][0, 0] = math.nan
    with pytest.raises(ValueError, match=r"a score of 0\.up\.weight is NaN"):
        Budget(0.5, SCOPE, Global(), pattern(2)).masks(scores)


def test_a_pruned_unit_is_not_kept_again_where_that_would_come_nearer() -> None:
    scores = network(1, 1.0)
    scores["0.up.weight"][0] = -math.inf
    scores["0.down.weight"][:, 0] = -math.inf
    masks = pattern(2).masks(scores, 72, Global())  # all there is
    assert sum(int(mask.sum()) for mask in masks.values()) == 64
    assert masks["0.up.weight"].any(1).tolist() == [False, True, True]


class Attention(nn.Module):
    """Says how large its heads are, as in transformers."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.attention_head_size = size


def test_the_network_says_how_large_heads_are() -> None:
    unsized = HeadsAndNeurons(Coupling("query", "out", None), Coupling("up", "down", 1))
    two = nn.ModuleList([Attention(2), Attention(2)])
    assert unsized.on(two).heads == Coupling("query", "out", 2)
    assert pattern(4).on(two).heads.size == 4


@pytest.mark.parametrize("sizes", [[], [2, 3]], ids=str)
def test_illegal_unknown_heads(sizes: list[int]) -> None:
    unsized = HeadsAndNeurons(Coupling("query", "out", None), Coupling("up", "down", 1))
    with pytest.raises(ValueError, match=r"give pattern\.heads\.size="):
        unsized.on(nn.ModuleList([Attention(size) for size in sizes]))
