"""Scores that look back, on eight weights and two gradients."""

import pytest
import torch

from sparsity.memories import Fisher, MeanGradient, MeanSaliency, Momentum, Movement

WEIGHTS = torch.tensor([[[1.0, -2.0, 0.0, 4.0], [-0.5, 3.0, -1.0, 2.0]], [[2.0, -1.0, 0.0, 4.0], [0.5, 3.0, 1.0, 2.0]]])
GRADIENTS = torch.tensor(
    [[[-1.0, 0.5, 7.0, 0.0], [2.0, -1.0, 1.0, 0.25]], [[1.0, 0.5, -1.0, -2.0], [2.0, 1.0, 1.0, -0.25]]]
)
TABLES = [
    (Movement(), [[-1.0, 1.5, 0.0, 8.0], [0.0, 0.0, 0.0, 0.0]]),
    (MeanGradient(), [[0.0, 1.0, 6.0, 2.0], [4.0, 0.0, 2.0, 0.0]]),
    (MeanSaliency(), [[0.0, 1.0, 0.0, 8.0], [2.0, 0.0, 2.0, 0.0]]),
    (Fisher(damping=1.0), [[4.0, 0.625, 0.0, 24.0], [0.625, 9.0, 1.0, 2.125]]),
]


def remembered(score, weights, gradients):
    """What a score remembers of some gradients."""
    share = {"share": 1 / len(gradients)} if isinstance(score, Fisher) else {}
    memory = None
    for weight, gradient in zip(weights, gradients, strict=True):
        memory = score.accumulate(memory, weight, gradient, **share)
    return memory


@pytest.mark.parametrize(("score", "expected"), TABLES, ids=lambda value: type(value).__name__)
def test_eight_weights(score, expected):
    weights, gradients = WEIGHTS.clone(), GRADIENTS.clone()
    assert score(weights[1], remembered(score, weights, gradients)).tolist() == expected
    assert torch.equal(weights, WEIGHTS)
    assert torch.equal(gradients, GRADIENTS)


@pytest.mark.parametrize("score", [score for score, _ in TABLES], ids=lambda score: type(score).__name__)
def test_nothing_but_the_mask_changes_weights(score):
    memory = remembered(score, WEIGHTS, GRADIENTS)
    assert torch.equal(score.adjusted(WEIGHTS[1], memory, WEIGHTS[1] > 0), WEIGHTS[1])


@pytest.mark.parametrize("score", [Movement(), MeanGradient(), Fisher()], ids=lambda score: type(score).__name__)
def test_scaling_the_loss_keeps_the_order(score):
    scores = [score(WEIGHTS[1], remembered(score, WEIGHTS, GRADIENTS * scale)) for scale in (1.0, 64.0)]
    assert torch.equal(scores[0].flatten().argsort(stable=True), scores[1].flatten().argsort(stable=True))


def test_movement_is_minus_the_gradient_of_the_scores_of_a_straight_through_mask():
    """Two layers, the first masked: dL/dS as Sanh et al. derive it, the mask being passed straight through."""
    torch.manual_seed(0)
    first, second, inputs = torch.randn(4, 3), torch.randn(2, 4), torch.randn(5, 3)
    scores = torch.zeros(4, 3, requires_grad=True)
    mask = torch.ones(4, 3) + scores - scores.detach()
    (torch.tanh(inputs @ (first * mask).T) @ second.T).square().sum().backward()
    weight = first.clone().requires_grad_()
    (torch.tanh(inputs @ weight.T) @ second.T).square().sum().backward()
    movement = Movement()
    found = movement(weight, movement.accumulate(None, weight.detach(), weight.grad))
    torch.testing.assert_close(found, -scores.grad)


@pytest.mark.parametrize("damping", [0.0, -1.0, float("inf"), float("nan")])
def test_illegal_damping(damping):
    with pytest.raises(ValueError, match=r"score\.damping=.* must be positive"):
        Fisher(damping)


def test_momentum_of_eight_weights() -> None:
    momentum = Momentum(decay=0.5)
    first, second = torch.tensor([8.0, -8.0, 4.0, 0.0, 0.0, 2.0, -2.0, 0.0]), torch.tensor([0.0, 8.0] * 4)
    kept = first.clone()
    memory = momentum.accumulate(None, WEIGHTS[1].flatten(), first)
    assert memory.tolist() == [4, -4, 2, 0, 0, 1, -1, 0]
    memory = momentum.accumulate(memory, WEIGHTS[1].flatten(), second)
    assert memory.tolist() == [2, 2, 1, 4, 0, 4.5, -0.5, 4]
    assert momentum(WEIGHTS[1].flatten(), memory).tolist() == [2, 2, 1, 4, 0, 4.5, 0.5, 4]
    assert torch.equal(first, kept)


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_illegal_decay(decay: float) -> None:
    with pytest.raises(ValueError, match="decay="):
        Momentum(decay)
