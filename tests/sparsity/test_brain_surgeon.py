"""The optimal brain surgeon against closed forms in NumPy."""

import numpy as np
import pytest
import torch

from sparsity.brain_surgeon import OptimalBrainSurgeon
from sparsity.memories import Fisher
from tests.sparsity.test_memories import GRADIENTS, WEIGHTS

TABLE = [[2.0, -1.0, 0.0, 4.0], [0.5, 3.0, 1.0, 2.0]]


def remembered(score, weight, gradients):
    memory = None
    for gradient in gradients:
        memory = score.accumulate(memory, weight, gradient, 1 / len(gradients))
    return memory


def dense_fisher(gradients, damping):
    flat = gradients.double().reshape(len(gradients), -1).numpy()
    return damping * np.eye(flat.shape[1]) + flat.T @ flat / len(flat)


def surgery(weight, fisher, pruned):
    """The weights after the update of Hassibi & Stork: the formula as it is written."""
    inverse, units = np.linalg.inv(fisher), np.eye(len(weight))[:, pruned]
    return weight - inverse @ units @ np.linalg.inv(units.T @ inverse @ units) @ weight[pruned]


def test_eight_weights():
    """Blocks of two, one gradient each: F = [[2, 1], [1, 2]], whose inverse has 2/3 on its diagonal."""
    score = OptimalBrainSurgeon(block=2, damping=1.0)
    weight = torch.tensor([[2.0, -1.0, 3.0, 4.0], [0.5, 1.0, 1.0, 2.0]])
    memory = remembered(score, weight, [torch.ones(2, 4)])
    assert score(weight, memory).tolist() == [[3.0, 0.75, 6.75, 12.0], [0.1875, 0.75, 0.75, 3.0]]
    mask = torch.tensor([[True, False, True, True], [False, False, False, True]])
    # One of two is pruned: the other one takes half of it.
    expected = torch.tensor([[1.5, 0.0, 3.0, 4.0], [0.0, 0.0, 0.0, 2.5]])
    torch.testing.assert_close(score.adjusted(weight, memory, mask), expected)


def test_block_of_one_is_the_diagonal_fisher():
    for damping in (1e-7, 1.0):
        one, diagonal = OptimalBrainSurgeon(block=1, damping=damping), Fisher(damping)
        weight = WEIGHTS[1]
        expected = 0.5 * weight.square() * (damping + GRADIENTS.square().mean(0))
        torch.testing.assert_close(one(weight, remembered(one, weight, GRADIENTS)), expected)
        torch.testing.assert_close(diagonal(weight, remembered(diagonal, weight, GRADIENTS)), expected)
        mask = weight > 0
        found = one.adjusted(weight, remembered(one, weight, GRADIENTS), mask)
        assert torch.equal(found, torch.where(mask, weight, 0.0))


def test_a_linear_regression_is_solved_again_by_what_is_left():
    """Three outputs, four inputs. Residuals of one output at a time make the empirical Fisher the Hessian, so that the
    surgeon's weights are those of least squares on the kept inputs, and its scores half the rise of the loss."""
    generator = torch.Generator().manual_seed(0)
    weight, inputs = torch.randn(3, 4, generator=generator), torch.randn(9, 4, generator=generator)
    residuals = torch.eye(3)
    gradients = torch.stack([torch.outer(residual, row) for row in inputs for residual in residuals])
    score = OptimalBrainSurgeon(block=12, damping=1e-9)
    memory = remembered(score, weight, gradients)
    mask = torch.tensor([[True, False, True, True], [False, True, False, True], [True, True, True, True]])
    found = score.adjusted(weight, memory, mask)
    outputs = (inputs @ weight.T).double().numpy()
    for row in range(3):
        kept = mask[row].numpy()
        solved, *_ = np.linalg.lstsq(inputs.double().numpy()[:, kept], outputs[:, row], rcond=None)
        np.testing.assert_allclose(found[row, mask[row]].numpy(), solved, rtol=1e-4)
        assert not found[row, ~mask[row]].any()
    for place in np.ndindex(3, 4):
        others = np.delete(np.arange(4), place[1])
        _, squares, *_ = np.linalg.lstsq(inputs.double().numpy()[:, others], outputs[:, place[0]], rcond=None)
        assert score(weight, memory)[place].item() == pytest.approx(squares.item() / 2 / 27, rel=1e-3)


@pytest.mark.parametrize("damping", [1e-3, 1e-7])
@pytest.mark.parametrize("number", [5, 40])
def test_one_block_is_the_closed_form(damping, number):
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(3, 4, generator=generator)
    gradients = torch.randn(number, 3, 4, generator=generator) * 0.01
    score = OptimalBrainSurgeon(block=50, damping=damping)
    memory = remembered(score, weight, gradients)
    assert memory.shape == (1, 12, 12)
    flat, fisher = weight.double().flatten().numpy(), dense_fisher(gradients, damping)
    expected = flat**2 / (2 * np.diag(np.linalg.inv(fisher)))
    np.testing.assert_allclose(score(weight, memory).flatten().numpy(), expected, rtol=1e-3)
    pruned = np.array([0, 3, 4, 9, 11])
    mask = torch.ones(12, dtype=torch.bool)
    mask[pruned] = False
    found = score.adjusted(weight, memory, mask.view(3, 4)).flatten().numpy()
    np.testing.assert_allclose(found, surgery(flat, fisher, pruned), rtol=1e-3, atol=1e-4)
    assert not found[pruned].any()


def test_blocks_run_along_the_tensor_and_the_last_one_is_shorter():
    generator = torch.Generator().manual_seed(2)
    weight, gradients = torch.randn(2, 4, generator=generator), torch.randn(30, 2, 4, generator=generator)
    whole = OptimalBrainSurgeon(block=3, damping=1e-4)
    found = whole(weight, remembered(whole, weight, gradients)).flatten()
    for part in (slice(0, 3), slice(3, 6), slice(6, 8)):
        one = weight.flatten()[part]
        alone = OptimalBrainSurgeon(block=3, damping=1e-4)
        memory = remembered(alone, one, gradients.flatten(1)[:, part])
        torch.testing.assert_close(found[part], alone(one, memory))


def test_weights_that_are_zero_take_no_part():
    """Pruned ones stay pruned: the others are scored and adjusted as if these did not exist."""
    generator = torch.Generator().manual_seed(3)
    weight, gradients = torch.randn(8, generator=generator), torch.randn(30, 8, generator=generator)
    alive = torch.tensor([True, False, True, True, False, True, True, True])
    score = OptimalBrainSurgeon(block=8)
    memory = remembered(score, weight * alive, gradients)
    some = remembered(score, weight[alive], gradients[:, alive])
    torch.testing.assert_close(score(weight * alive, memory)[alive], score(weight[alive], some))
    mask = alive & torch.tensor([True, True, False, True, True, True, True, False])
    torch.testing.assert_close(
        score.adjusted(weight * alive, memory, mask)[alive], score.adjusted(weight[alive], some, mask[alive])
    )


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e6])
def test_fewer_gradients_than_weights_of_a_block_can_be_factorised(scale):
    weight = torch.randn(500, generator=torch.Generator().manual_seed(4))
    gradients = scale * torch.randn(7, 500, generator=torch.Generator().manual_seed(5))
    score = OptimalBrainSurgeon()
    memory = remembered(score, weight, gradients)
    assert (score(weight, memory) > 0).all()
    assert score.adjusted(weight, memory, weight > 0).isfinite().all()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(("number", "bound"), [(64, 0.007), (1024, 0.00015)])
def test_what_rounding_adds_to_the_damping_hardly_shows_where_gradients_span_a_block(scale, number, bound):
    weight, gradients = large_gradients(scale, number)
    found = OptimalBrainSurgeon()(weight, remembered(OptimalBrainSurgeon(), weight, gradients)).double().numpy()
    error = found / exact(weight, gradients, lambda trace: 1e-7) - 1
    assert np.abs(error).max() < bound


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_where_gradients_do_not_span_a_block_its_damping_is_at_least_its_rounding(scale):
    weight, gradients = large_gradients(scale, 20)
    found = OptimalBrainSurgeon()(weight, remembered(OptimalBrainSurgeon(), weight, gradients)).double().numpy()
    error = found / exact(weight, gradients, lambda trace: max(1e-7, 2**-19 * trace)) - 1
    assert np.abs(error).max() < 0.02


def large_gradients(scale, number):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(500, generator=generator), scale * torch.randn(number, 500, generator=generator)


def exact(weight, gradients, damping):
    """Scores in blocks of 50, in float64 throughout, with a damping that may depend on a block's trace."""
    scores = []
    for flat, block in zip(weight.double().split(50), gradients.split(50, dim=1), strict=True):
        fisher = dense_fisher(block, 0.0)
        inverse = np.linalg.inv(fisher + damping(fisher.trace()) * np.eye(50))
        scores.append(flat.numpy() ** 2 / (2 * np.diag(inverse)))
    return np.concatenate(scores)


def test_nothing_is_adjusted_where_nothing_is_pruned():
    score = OptimalBrainSurgeon(block=4)
    weight = torch.tensor(TABLE)
    found = score.adjusted(weight, remembered(score, weight, GRADIENTS), torch.ones(2, 4, dtype=torch.bool))
    assert torch.equal(found, weight)


def test_illegal_block():
    with pytest.raises(ValueError, match=r"score\.block=0 must be at least 1"):
        OptimalBrainSurgeon(block=0)
