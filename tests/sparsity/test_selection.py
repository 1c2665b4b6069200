"""Exact selection: the bracketing search against sorting, on values that mislead it."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sparsity import selection
from sparsity.selection import top, top_of_each
from tests.sparsity import oracle

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
SPECIAL = [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, 6e4, 1e-7, 0.5]


def same(scores: list[Tensor], keep: int) -> bool:
    masks = top(scores, keep)
    assert all(
        mask.dtype == torch.bool and mask.shape == score.shape for mask, score in zip(masks, scores, strict=True)
    )
    assert all(int(mask.view(torch.uint8).max()) <= 1 for mask in masks if mask.numel())  # proper bools
    return all(torch.equal(ours, theirs) for ours, theirs in zip(masks, oracle.top(scores, keep), strict=True))


@pytest.mark.parametrize(
    ("keep", "first", "second"),
    [
        (0, [0, 0, 0, 0], [0, 0, 0, 0]),
        (1, [0, 1, 0, 0], [0, 0, 0, 0]),  # a tie between tensors goes to the earlier one
        (2, [0, 1, 0, 0], [0, 0, 0, 1]),
        (3, [1, 1, 0, 0], [0, 0, 0, 1]),  # a tie inside a tensor goes to the lower index
        (5, [1, 1, 1, 0], [1, 0, 0, 1]),
        (8, [1, 1, 1, 1], [1, 1, 1, 1]),
    ],
)
def test_eight_weights(keep: int, first: list[int], second: list[int]) -> None:
    scores = [torch.tensor([3.0, 9.0, 3.0, -1.0]), torch.tensor([[3.0, 2.0], [-math.inf, 9.0]])]
    masks = top(scores, keep)
    assert [mask.flatten().int().tolist() for mask in masks] == [first, second]
    assert masks[1].shape == (2, 2)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("few", [1, 3, 1 << 14])
def test_equals_sorting_whatever_the_values(few: int, data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(DTYPES))
    value = st.sampled_from(SPECIAL) if data.draw(st.booleans()) else st.floats(-100, 100, width=16)
    lists = data.draw(st.lists(st.lists(value, max_size=40), min_size=1, max_size=4))
    scores = [torch.tensor(values, dtype=dtype) for values in lists]
    keep = data.draw(st.integers(0, sum(map(len, lists))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "_FEW", few)
        assert same(scores, keep)


def layout(kind: str, n: int) -> Tensor:
    ramp = torch.arange(n, dtype=torch.float32)
    rows = {
        "ascending": ramp,
        "descending": ramp.flip(0),
        "two values": ramp % 2,
        "all equal": ramp * 0,
        "mostly zero": torch.where(ramp % 10 == 0, ramp, 0.0),
        "huge range": ((ramp * 7919) % n - n / 2) * torch.tensor(10.0).pow((ramp % 60) - 30),
        "infinities": torch.where(ramp % 3 == 0, -math.inf, torch.where(ramp % 3 == 1, ramp, math.inf)),
        # The sample sees every stride-th score only, and these are nothing like the others.
        "misleading": torch.where(ramp % (int(n ** (1 / 3)) | 1) == 0, ramp + 1e6, ramp),
        "misleading downwards": torch.where(ramp % (int(n ** (1 / 3)) | 1) == 0, -ramp - 1e6, ramp),
    }
    return rows[kind]


@pytest.mark.parametrize("share", [0.0001, 0.2, 0.5, 0.9])
@pytest.mark.parametrize(
    "kind",
    [
        "ascending",
        "descending",
        "two values",
        "all equal",
        "mostly zero",
        "huge range",
        "infinities",
        "misleading",
        "misleading downwards",
    ],
)
def test_equals_sorting_on_adversarial_layouts(kind: str, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    n = 80_000
    rounds: list[float] = []
    grade = selection._grade
    monkeypatch.setattr(selection, "_grade", lambda *args: rounds.append(args[-1]) or grade(*args))
    scores = [part.clone() for part in layout(kind, n).split([n // 8] * 8)]
    assert same(scores, max(1, round(n * share)))
    assert len(rounds) <= 12


@pytest.mark.parametrize("seed", range(6))
def test_a_random_input_takes_one_round(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: list[float] = []
    grade = selection._grade
    monkeypatch.setattr(selection, "_grade", lambda *args: rounds.append(args[-1]) or grade(*args))
    scores = list(torch.randn(8, 10_000, generator=torch.Generator().manual_seed(seed)).abs())
    assert same(scores, 16_000)
    assert len(rounds) == 1


def test_parts_of_a_tensor_join_without_a_seam() -> None:
    scores = [torch.rand(3 * 65_536 + 5, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    assert same(scores, 100_000)


def test_strides_do_not_matter() -> None:
    score = torch.randn(60, 40, generator=torch.Generator().manual_seed(2))
    views = [score.t(), score[::2, 1::3], score.unsqueeze(0).expand(2, -1, -1)]
    assert same(views, 1234)


def test_scores_are_left_alone() -> None:
    score = torch.randn(1000, requires_grad=True)
    before = score.detach().clone()
    assert not top([score], 300)[0].requires_grad
    assert torch.equal(score, before)


def test_scaling_changes_nothing() -> None:
    score = torch.randn(5000, generator=torch.Generator().manual_seed(3)).abs()
    assert torch.equal(top([score], 1000)[0], top([score * 8], 1000)[0])


@pytest.mark.parametrize("index", [0, 1])
def test_illegal_nan(index: int) -> None:
    scores = [torch.ones(4), torch.ones(4)]
    scores[index][2] = math.nan
    with pytest.raises(ValueError, match=f"NaN in tensor {index}"):
        top(scores, 2)


@pytest.mark.parametrize("keep", [-1, 9])
def test_illegal_keep(keep: int) -> None:
    with pytest.raises(ValueError, match=f"cannot keep {keep} of 8 scores"):
        top([torch.ones(4), torch.ones(4)], keep)


@pytest.mark.parametrize("other", [torch.float16, torch.int32])
def test_illegal_dtypes(other: torch.dtype) -> None:
    with pytest.raises(ValueError, match="tensor 1 has"):
        top([torch.ones(4), torch.ones(4, dtype=other)], 2)
    with pytest.raises(ValueError, match=r"tensor 0 has torch\.int64"):
        top([torch.ones(4, dtype=torch.int64)], 2)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), rows=st.integers(1, 5), width=st.integers(1, 9))
def test_rows_equal_sorting_each(data: st.DataObject, rows: int, width: int) -> None:
    lists = st.lists(st.sampled_from(SPECIAL), min_size=width, max_size=width)
    scores = torch.tensor([data.draw(lists) for _ in range(rows)], dtype=data.draw(st.sampled_from(DTYPES)))
    keep = data.draw(st.integers(0, width))
    assert torch.equal(top_of_each(scores, keep), torch.stack([oracle.top([row], keep)[0] for row in scores]))


def test_illegal_rows() -> None:
    for keep in (-1, 5):
        with pytest.raises(ValueError, match=f"cannot keep {keep} of 4 scores"):
            top_of_each(torch.ones(2, 4), keep)
    with pytest.raises(ValueError, match="NaN"):
        top_of_each(torch.tensor([[1.0, math.nan]]), 1)
