"""One rounding for all counts, and the way from scores to masks."""

import math

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForMaskedLM

from sparsity.budget import Budget, kept
from sparsity.denominators import OfModel
from sparsity.distributions import Erk, Global, Uniform
from sparsity.patterns import NM, Block, Unstructured
from sparsity.schedules import Cubic
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


@pytest.mark.parametrize("level", range(1, 11))
def test_levels_of_lottery_tickets_within_one_weight(level: int) -> None:
    sparsity = round(1 - 0.8**level, 12)
    scores = {"a": torch.rand(37, 11), "b": torch.rand(5, 40)}
    masks = Budget(sparsity, SCOPE, Global()).masks(scores)
    assert abs(sum(int(mask.sum()) for mask in masks.values()) - 607 * 0.8**level) <= 1


@pytest.mark.parametrize("every", range(1, 25))
@pytest.mark.parametrize("pattern", [Unstructured(), Block(2, 2), NM(2, 4)], ids=lambda p: p.label)
def test_gradual_pruning_ends_on_target_for_every_update_frequency(every: int, pattern: Unstructured) -> None:
    budget = Budget(0.5, SCOPE, Global(), pattern)
    scores = {"a": torch.rand(8, 8, generator=torch.Generator().manual_seed(every))}
    masks = {"a": torch.ones(8, 8).bool()}
    for sparsity in Cubic(0.0, 0.99, every).plan(25, 0.5).values():
        masks = budget.masks({"a": scores["a"].masked_fill(~masks["a"], -math.inf)}, sparsity)
    assert int(masks["a"].sum()) == 32


class Half(nn.Module):
    """Ten weights in scope, ten outside."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(5, 2, bias=False)
        self.head = nn.Linear(2, 5, bias=False)


BODY = Scope(["body"])


@pytest.mark.parametrize(("sparsity", "keep"), [(0.0, 10), (0.1, 8), (0.25, 5), (0.4, 2), (0.45, 1)])
def test_of_the_model_by_hand(sparsity: float, keep: int) -> None:
    budget = Budget(sparsity, BODY, Global(), of=OfModel()).on(Half())
    assert budget.outside == 10
    assert int(budget.masks({"body.weight": torch.rand(2, 5)})["body.weight"].sum()) == keep
    assert budget.sparsity_of_scope(10) == pytest.approx(1 - keep / 10)
    assert budget.met({"body.weight": torch.Size([2, 5])}, keep)
    assert not budget.met({"body.weight": torch.Size([2, 5])}, keep + 2)
    assert (
        int(budget.masks({"body.weight": torch.rand(2, 5)}, sparsity / 2)["body.weight"].sum())
        == kept(20, sparsity / 2) - 10
    )


def test_of_the_scope_nothing_outside_counts() -> None:
    assert Budget(0.8, BODY, Global()).on(Half()) == Budget(0.8, BODY, Global())


def test_illegal_sparsity_of_the_model_names_the_largest() -> None:
    with pytest.raises(ValueError, match=r"sparsity=0\.8 of the model .* the model that can be met is 0\.45") as error:
        Budget(0.8, BODY, Global(), of=OfModel()).on(Half())
    largest = float(str(error.value).split()[-1])
    assert Budget(largest, BODY, Global(), of=OfModel()).on(Half()).keep(10) == 1


def test_n_m_of_the_model() -> None:
    network = nn.ModuleDict({"body": nn.Linear(4, 3, bias=False), "head": nn.Linear(3, 2, bias=False)})
    with pytest.raises(ValueError, match=r"sparsity=0\.5 of the model is none that pattern=n_m has") as error:
        Budget(0.5, BODY, Global(), NM(2, 4), OfModel()).on(network)
    named = float(str(error.value).split("=")[-1])
    assert named == pytest.approx(6 / 18)
    budget = Budget(named, BODY, Global(), NM(2, 4), OfModel()).on(network)
    assert budget.masks({"body.weight": torch.rand(3, 4)})["body.weight"].sum(1).tolist() == [2, 2, 2]


def test_illegal_target_is_told_before_there_are_scores() -> None:
    with pytest.raises(ValueError, match="keeps none of the 10 weights in scope"):
        Budget(0.99, BODY, Global()).on(Half())
    with pytest.raises(ValueError, match=r"do not divide body\.weight"):
        Budget(0.5, BODY, Global(), Block(2, 2)).on(Half())


def test_a_tied_weight_is_counted_and_masked_once() -> None:
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    network = BertForMaskedLM(BertConfig(vocab_size=20, max_position_embeddings=8, **sizes))
    scope = Scope([r"\bencoder\.layer\.\d+\..*\b(query|key|value|dense)\.weight$", r"\bword_embeddings\.weight$"])
    name = "bert.embeddings.word_embeddings.weight"
    weights = scope.select(network)
    assert [n for n in weights if "embeddings" in n or "decoder" in n] == [name]
    assert weights[name] is network.cls.predictions.decoder.weight
    budget = Budget(0.3, scope, Global(), of=OfModel()).on(network)
    numel = sum(weight.numel() for weight in weights.values())
    total = sum(parameter.numel() for parameter in network.parameters())  # transformers leaves the decoder out, tied
    assert numel + budget.outside == total
    assert total < sum(tensor.numel() for tensor in network.state_dict().values())
    masks = budget.masks({n: weight.detach().abs() for n, weight in weights.items()})
    assert numel - sum(int(mask.sum()) for mask in masks.values()) == total - kept(total, 0.3)
    with torch.no_grad():
        weights[name].mul_(masks[name])
    assert not network.cls.predictions.decoder.weight[~masks[name]].any()
