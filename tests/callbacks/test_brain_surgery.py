"""oBERT in training: what the surgeon makes of the weights that stay, and what stays pruned."""

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback

from sparsity.brain_surgeon import OptimalBrainSurgeon
from tests.conftest import SMALL, composed, of_method
from tests.methods.building import parts
from tests.methods.test_hand_loop import FirstMasks, in_scope

WIDER = ["model.hidden_size=32", "model.layers=1", "task.data.val=8", "task.data.test=8"]


def test_brain_surgery_changes_the_weights_that_stay(small, tmp_path):
    """One-shot: the weights that training starts with are those of the formula."""
    config = small(*of_method("obert"), "method.sparsifier.gradient_batches=40")
    run, module = parts(config), parts(config).module.eval()
    first = FirstMasks(run.sparsifier)
    run.fit(tmp_path, first)
    weights = in_scope(module.network)
    gradients = {name: [] for name in weights}
    for batch in module.sample_dataloader(40):
        found = torch.autograd.grad(module.loss(batch), weights.values())
        for name, gradient in zip(weights, found, strict=True):
            gradients[name].append(gradient.flatten())
    changed = 0
    for name, weight in weights.items():
        flat, kept = weight.detach().flatten().double().numpy(), first.masks[name].flatten().numpy()
        sampled = torch.stack(gradients[name]).double().numpy()
        for start in range(0, len(flat), 50):
            part = slice(start, start + 50)
            rows, inside = sampled[:, part], kept[part]
            fisher = rows.T @ rows / 40 + 1e-7 * np.eye(rows.shape[1])
            shift = np.linalg.solve(fisher[inside][:, inside], fisher[inside][:, ~inside] @ flat[part][~inside])
            expected = flat[part][inside] + shift
            found = first.weights[name].flatten()[part].numpy()[inside]
            np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-3)
            changed += int((np.abs(shift) > 1e-3).sum())
    assert changed > 100


@pytest.fixture(scope="module")
def converged(tmp_path_factory):
    """Weights of a dense run at a minimum of the loss, near which the Fisher stands for the Hessian."""
    run = parts(composed(*SMALL, *WIDER, "steps=400", "lr=3e-3"))
    run.fit(tmp_path_factory.mktemp("converged"))
    return run.weights


@pytest.mark.parametrize("sparsity", [0.5, 0.7])
def test_adjusted_weights_lose_less_than_without(small, tmp_path, converged, sparsity):
    """The loss on the data that the gradients were taken of rises by less than half of what it does without."""
    run = parts(small(*WIDER, *of_method("obert", sparsity), "method.sparsifier.gradient_batches=100"))
    run.module.network.load_state_dict(converged)
    first = FirstMasks(run.sparsifier)
    run.fit(tmp_path, first, stop_step=1)
    module = parts(run.config).module.eval()

    def loss(weights):
        module.network.load_state_dict(weights)
        with torch.no_grad():
            return sum(float(module.loss(batch)) for batch in module.sample_dataloader(100)) / 100

    without = converged | {name: converged[name] * mask for name, mask in first.masks.items()}
    risen, risen_without = (loss(weights) - loss(converged) for weights in (first.weights, without))
    assert risen_without > 0.004
    assert risen < risen_without / 2


def test_gradual_surgery_keeps_what_is_pruned_pruned(small, tmp_path):
    run = parts(small(*of_method("obert_gradual"), "steps=24"))

    class Nested(Callback):
        masks: dict = {}  # noqa: RUF012

        def on_train_batch_end(self, *_):
            for name, mask in run.sparsifier.masks.items():
                assert not (mask & ~self.masks.get(name, mask)).any()
            self.masks = dict(run.sparsifier.masks)

    run.fit(tmp_path, Nested())
    assert run.sparsifier.settled
    assert len(run.sparsifier.plan) > 3


def test_a_surgeons_memory_is_not_checkpointed(small, tmp_path):
    run = parts(small(*of_method("obert_gradual")))
    assert isinstance(run.sparsifier.score, OptimalBrainSurgeon)
    run.fit(tmp_path)
    state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert state["callbacks"]["Sparsifier"]["memories"] == []
