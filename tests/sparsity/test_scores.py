"""Scores on eight weights, and how they ask for what they need."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from sparsity.scores import (
    evaluate,
    gradient_flow,
    gradient_magnitude,
    magnitude,
    magnitude_and_gradient,
    needs,
    random,
    saliency,
    synaptic_flow,
    wanda,
)

WEIGHT = torch.tensor([[1.0, -2.0, 0.0, 4.0], [-0.5, 3.0, -0.0, 2.0]])
GRADIENT = torch.tensor([[-1.0, 0.5, 7.0, 0.0], [2.0, -1.0, 1.0, 0.25]])


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (magnitude, [[1.0, 2.0, 0.0, 4.0], [0.5, 3.0, 0.0, 2.0]]),
        (saliency, [[1.0, 1.0, 0.0, 0.0], [1.0, 3.0, 0.0, 0.5]]),
        (gradient_magnitude, [[1.0, 0.5, 7.0, 0.0], [2.0, 1.0, 1.0, 0.25]]),
        (gradient_flow, [[-1.0, -1.0, 0.0, 0.0], [-1.0, -3.0, 0.0, 0.5]]),
        (wanda, [[0.5, 0.0, 0.0, 12.0], [0.25, 0.0, 0.0, 6.0]]),
        (synaptic_flow, [[1.0, 6.0, 0.0, 0.0], [1.0, 12.0, 0.0, 4.0]]),
    ],
)
def test_eight_weights(score: Any, expected: list[list[float]]) -> None:
    weight, gradient = WEIGHT.clone(), GRADIENT.clone()
    found = evaluate(
        score,
        weight=weight,
        gradient=gradient,
        generator=torch.Generator(),
        hessian_gradient=gradient,
        input_norm=torch.tensor([0.5, 0.0, 9.0, 3.0]),
        flow_gradient=torch.tensor([[1.0, -3.0, 5.0, 0.0], [-2.0, 4.0, 1.0, 2.0]], dtype=torch.float64),
    )
    assert found.tolist() == expected
    assert torch.equal(weight, WEIGHT)
    assert torch.equal(gradient, GRADIENT)


def test_removing_what_gradient_flow_ranks_lowest_raises_the_gradient_most() -> None:
    """On a quadratic the squared norm of the gradient changes by -2 w * Hg, and a term of second order."""
    root = torch.randn(8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    hessian, weight = root @ root.T, torch.randn(8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    score, part = gradient_flow(weight, hessian @ hessian @ weight), 1e-7
    for index in range(8):
        less = weight.clone()
        less[index] *= 1 - part
        change = ((hessian @ less).square().sum() - (hessian @ weight).square().sum()) / part
        assert change == pytest.approx(-2 * score[index].item(), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("score", [magnitude, saliency])
def test_scores_of_parameters_are_outside_autograd(score: Any) -> None:
    assert not evaluate(score, weight=torch.nn.Parameter(WEIGHT.clone()), gradient=GRADIENT).requires_grad


def test_saliency_is_the_gradient_of_a_gate() -> None:
    gate = torch.ones_like(WEIGHT, requires_grad=True)
    weight = WEIGHT.clone().requires_grad_()
    inputs = torch.tensor([[1.0, 2.0, -1.0, 0.5]])
    torch.tanh(inputs @ (gate * weight).T).square().sum().backward()
    assert gate.grad is not None
    assert weight.grad is not None
    torch.testing.assert_close(saliency(weight, weight.grad), gate.grad.abs())


def test_random_comes_from_its_generator_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = random(WEIGHT, torch.Generator().manual_seed(5))
    assert torch.equal(first, random(WEIGHT * 2, torch.Generator().manual_seed(5)))
    assert not torch.equal(first, random(WEIGHT, torch.Generator().manual_seed(6)))
    assert torch.equal(before, torch.get_rng_state())
    assert first.shape == WEIGHT.shape
    many = random(torch.empty(100, 100, dtype=torch.float16), torch.Generator().manual_seed(5))
    assert 0 <= float(many.min()) < 0.01
    assert 0.99 < float(many.max()) < 1
    assert many.unique().numel() > 9_900  # finer than half precision


def test_magnitude_and_gradient_of_eight_weights() -> None:
    weight = torch.tensor([1.0, -1.0, 0.0, 2.0, -3.0, 0.5, 0.0, -0.25])
    gradient = torch.tensor([-4.0, 0.0, 8.0, -2.0, 4.0, 1.0, 0.0, -1.0])
    found = magnitude_and_gradient(weight, gradient, factor=0.5)
    assert found.tolist() == [3, 1, 4, 3, 5, 1, 0, 0.75]
    assert weight[1] == -1
    assert gradient[0] == -4


def fisher(weight: Tensor, gradient: Tensor, damping: float = 1e-7) -> Tensor:
    return weight.square() * (gradient.square() + damping)


def test_needs() -> None:
    assert needs(magnitude) == {"weight"}
    assert needs(random) == {"weight", "generator"}
    assert needs(partial(magnitude)) == {"weight"}
    assert needs(fisher) == needs(partial(partial(fisher), damping=1.0)) == {"weight", "gradient"}
    assert needs(partial(fisher, gradient=GRADIENT)) == {"weight"}


def test_evaluate_passes_a_partial_its_literals() -> None:
    found = evaluate(partial(fisher, damping=2.0), weight=WEIGHT, gradient=GRADIENT)
    assert torch.equal(found, WEIGHT.square() * (GRADIENT.square() + 2.0))


def misspelt(wieght: Tensor) -> Tensor:
    return wieght


def greedy(*weight: Tensor) -> Tensor:
    return weight[0]


@pytest.mark.parametrize(("score", "name"), [(misspelt, "wieght"), (partial(misspelt), "wieght"), (greedy, "weight")])
def test_illegal_parameters(score: Any, name: str) -> None:
    label = (score.func if isinstance(score, partial) else score).__name__
    with pytest.raises(ValueError, match=f"score {label} asks for '{name}'.*weight, gradient, generator"):
        needs(score)


def test_illegal_missing_input() -> None:
    with pytest.raises(ValueError, match="score saliency needs 'gradient', but only weight"):
        evaluate(saliency, weight=WEIGHT)
