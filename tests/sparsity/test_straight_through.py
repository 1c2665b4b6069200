"""What hidden values descend, by hand on eight weights and by finite differences on two layers."""

import pytest
import torch

from sparsity.straight_through import explored, score_gradient, sr_ste

WEIGHT = torch.tensor([0.5, -2.0, 1.0, 0.25, -0.5, 4.0, 0.0, -1.0])
GRADIENT = torch.tensor([1.0, 0.5, -2.0, 4.0, 0.0, -0.25, 3.0, 1.0])
MASK = torch.tensor([0, 1, 1, 0, 0, 1, 0, 0]).bool()
SUPERSET = torch.tensor([1, 1, 1, 0, 0, 1, 0, 1]).bool()


def test_score_gradient():
    assert score_gradient(GRADIENT, WEIGHT).tolist() == [0.5, -1.0, -2.0, 1.0, -0.0, -1.0, 0.0, -1.0]


def test_sr_ste():
    assert sr_ste(GRADIENT, WEIGHT, MASK, 2.0).tolist() == [2.0, 0.5, -2.0, 4.5, -1.0, -0.25, 3.0, -1.0]
    assert sr_ste(GRADIENT, WEIGHT, MASK, 0.0).equal(GRADIENT)


def test_explored():
    # 0.5 * W where kept, 0.5 / 0.25 * W in the rest of the superset
    expected = [1.0 + 1.0, 0.5 - 1.0, -2.0 + 0.5, 0.0, 0.0, -0.25 + 2.0, 0.0, 1.0 - 2.0]
    assert explored(GRADIENT, WEIGHT, MASK, SUPERSET, 0.25, 0.5).tolist() == expected
    assert explored(GRADIENT, WEIGHT, MASK, SUPERSET, 0.25, 0.0).equal(GRADIENT * SUPERSET)


def test_arguments_stay_as_they_are():
    gradient, weight = GRADIENT.clone(), WEIGHT.clone()
    score_gradient(gradient, weight)
    sr_ste(gradient, weight, MASK, 2.0)
    explored(gradient, weight, MASK, SUPERSET, 0.25, 0.5)
    assert gradient.equal(GRADIENT)
    assert weight.equal(WEIGHT)


@pytest.mark.parametrize("seed", range(3))
def test_score_gradient_is_the_slope_of_the_loss_by_the_mask(seed):
    """Two layers; the mask is moved by a little, as the straight-through estimator imagines."""
    generator = torch.Generator().manual_seed(seed)
    first, second, inputs = (torch.randn(4, 4, generator=generator, dtype=torch.float64) for _ in range(3))
    masks = [(torch.rand(4, 4, generator=generator) > 0.5).double() for _ in range(2)]

    def loss(mask, other):
        return (torch.tanh(inputs @ (first * mask)) @ (second * other)).square().sum()

    seen = [(weight * mask).requires_grad_() for weight, mask in zip((first, second), masks, strict=True)]
    (torch.tanh(inputs @ seen[0]) @ seen[1]).square().sum().backward()
    for index, weight in enumerate((first, second)):
        gradient = score_gradient(seen[index].grad, weight)
        for place in range(16):
            step = torch.zeros(16, dtype=torch.float64)
            step[place] = 1e-6
            up, down = (
                loss(*(m + sign * step.view(4, 4) if i == index else m for i, m in enumerate(masks)))
                for sign in (1, -1)
            )
            assert float(gradient.view(-1)[place]) == pytest.approx(float(up - down) / 2e-6, abs=1e-6)
