"""Pruning with scores that take more than a weight: whole runs against what they should have come to."""

import numpy as np
import pytest
import torch
from hydra.errors import InstantiationException

from callbacks.gradients import flow_gradient
from sparsity.memories import MeanGradient
from tests.conftest import of_method
from tests.methods.building import parts
from tests.methods.test_hand_loop import FirstMasks, compare, hand_loop, highest, in_scope


def numel(weights):
    return sum(weight.numel() for weight in weights.values())


def test_movement_by_hand(small, tmp_path):
    """Sums up over all steps before the update, its own included, and never gives back."""
    run = parts(small(*of_method("movement"), "method.sparsifier.schedule.every=4", "steps=20"))
    cubic = {t: 0.6 * (1 - (1 - (t - 2) / 14) ** 3) for t in (2, 6, 10, 14, 16)}
    moved = {}

    def update(step, masks, weights):
        for name, weight in weights.items():
            moved[name] = moved.get(name, 0) - (weight.detach() * weight.grad).numpy()
        if step not in cubic:
            return masks
        scores = {name: np.where(masks[name], score, -np.inf) for name, score in moved.items()}
        return highest(scores, round(numel(weights) * (1 - cubic[step])))

    run.fit(tmp_path)
    everything = {name: np.ones(weight.shape, dtype=bool) for name, weight in in_scope(run.module.network).items()}
    network, masks, _ = hand_loop(run.config, everything, update)
    compare(run, network, masks)


@pytest.mark.parametrize("batches", [1, 5])
def test_fisher_by_hand(small, tmp_path, batches):
    run = parts(small(*of_method("fisher"), f"method.sparsifier.gradient_batches={batches}"))
    module = parts(run.config).module.eval()
    weights, squares = in_scope(module.network), {}
    for _, batch in zip(range(batches), module.train_dataloader(), strict=False):
        for (name, _), gradient in zip(
            weights.items(), torch.autograd.grad(module.loss(batch), weights.values()), strict=True
        ):
            squares[name] = squares.get(name, 0) + gradient.square().numpy() / batches
    scores = {name: weight.detach().numpy() ** 2 * (squares[name] + 1e-7) for name, weight in weights.items()}
    run.fit(tmp_path)
    network, masks, _ = hand_loop(run.config, highest(scores, round(numel(weights) * 0.4)))
    compare(run, network, masks)


@pytest.mark.parametrize("at", [0.0, 0.1])
def test_synaptic_flow_never_empties_a_tensor(small, tmp_path, caplog, at):
    """At 99.9 % with 100 rounds; a single round does."""
    sizes = ["model.hidden_size=64", "model.heads=4", "model.intermediate_size=128"]
    densities = {}
    for rounds in (100, 1):
        more = [f"method.sparsifier.rounds={rounds}", f"method.sparsifier.schedule.at={at}", "steps=10", *sizes]
        run = parts(small("method=synflow", "sparsity=0.999", *more))
        run.fit(tmp_path / str(rounds))
        densities[rounds] = min(run.sparsifier.densities.values())
        assert sum(int(mask.sum()) for mask in run.sparsifier.masks.values()) == round(
            numel(run.sparsifier.masks) / 1e3
        )
        if rounds == 100:
            assert "has no weights left" not in caplog.text
            flow = flow_gradient(run.module, in_scope(run.module.network))
            assert all(bool(tensor.any()) for tensor in flow.values())
    assert densities[100] > 0
    assert densities[1] < densities[100]


def test_rounds_of_saliency_prune_within_each_other(small, tmp_path):
    """Iterative SNIP: three rounds, each from the gradients of what the one before left."""
    run = parts(small(*of_method("snip"), "+method.sparsifier.rounds=3", "method.sparsifier.gradient_batches=2"))
    module = parts(run.config).module.eval()
    weights = in_scope(module.network)
    masks = {name: np.ones(weight.shape, dtype=bool) for name, weight in weights.items()}
    for density in (0.4 ** (1 / 3), 0.4 ** (2 / 3), 0.4):
        loss = sum(module.loss(batch) for _, batch in zip(range(2), module.train_dataloader(), strict=False)) / 2
        gradients = torch.autograd.grad(loss, weights.values())
        scores = {
            name: np.where(masks[name], (weight.detach() * gradient).abs().numpy(), -1.0)
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
        }
        masks = highest(scores, round(numel(weights) * density))
        with torch.no_grad():
            for name, weight in weights.items():
                weight[~torch.from_numpy(masks[name])] = 0.0
    run.fit(tmp_path)
    network, masks, _ = hand_loop(run.config, masks)
    compare(run, network, masks)


GROW = "method.sparsifier.grow={_target_: sparsity.memories.MeanGradient}"


def rigl_by_mean_gradients(small, *more):
    return parts(small(*of_method("rigl"), "~method.sparsifier.grow", f"+{GROW}", "steps=20", *more))


def test_growth_by_the_mean_gradient_of_a_window(small, tmp_path):
    run = rigl_by_mean_gradients(small, "method.sparsifier.schedule.every=3")
    first, window = FirstMasks(run.sparsifier), {}
    assert isinstance(run.sparsifier.grow, MeanGradient)

    def update(step, masks, weights):
        for name, weight in weights.items():
            window[name] = window.get(name, 0) + weight.grad.numpy()
        if step == 0 or step % 3 or step >= 15:
            return masks
        new = {}
        for name, weight in weights.items():
            exchanged = int(run.sparsifier.plan[step] * masks[name].sum())
            magnitude = np.where(masks[name], np.abs(weight.detach().numpy()), -1.0)
            stay = highest({"": magnitude}, int(masks[name].sum()) - exchanged)[""]
            new[name] = stay | highest({"": np.where(stay, -1.0, np.abs(window[name]))}, exchanged)[""]
        window.clear()
        return new

    run.fit(tmp_path, first)
    network, masks, _ = hand_loop(run.config, {name: mask.numpy() for name, mask in first.masks.items()}, update)
    assert any(not np.array_equal(first.masks[name].numpy(), masks[name]) for name in masks)
    compare(run, network, masks)


def test_a_window_survives_an_interruption(small, tmp_path):
    more = ["method.sparsifier.schedule.every=4"]
    whole = rigl_by_mean_gradients(small, *more)
    whole.fit(tmp_path / "whole")
    rigl_by_mean_gradients(small, *more).fit(tmp_path / "parts", stop_step=6)
    resumed = rigl_by_mean_gradients(small, *more)
    resumed.fit(tmp_path / "parts", resume=tmp_path / "parts" / "checkpoints" / "last.ckpt")
    assert all(torch.equal(mask, resumed.sparsifier.masks[name]) for name, mask in whole.sparsifier.masks.items())
    assert all(torch.equal(weight, resumed.weights[name]) for name, weight in whole.weights.items())


@pytest.mark.parametrize("method", ["fisher", "obert", "wanda"])
def test_a_dense_model_is_pruned_by_data_without_a_step_of_training(small, method):
    import train

    run = train.obtain(small(*of_method(method), "method.retrain_steps=0", "distribution=global"))
    assert run.result["steps"] == 0
    assert run.result["sparsity"]["scope"] == pytest.approx(0.6, abs=1e-3)


def test_illegal_rounds(small):
    with pytest.raises(InstantiationException, match=r"method\.sparsifier\.rounds=0 must be at least 1"):
        parts(small(*of_method("synflow"), "method.sparsifier.rounds=0"))


@pytest.mark.parametrize("more", [["pattern=heads_and_neurons"], ["compat=smc"], ["distribution=owl"]], ids=str)
def test_the_dense_phases_of_ac_dc_are_dense(small, tmp_path, more):
    run = parts(small("method=ac_dc", "sparsity=0.5", "method.sparsifier.schedule.every=2", "model.heads=4", *more))
    kept = {}
    update = run.sparsifier.update

    def watched(step, value):
        masks = update(step, value)
        kept[step] = all(bool(mask.all()) for mask in masks.values())
        return masks

    run.sparsifier.update = watched
    run.fit(tmp_path)
    plan = run.sparsifier.plan
    assert 0.0 in plan.values()
    assert {step: value == 0 for step, value in plan.items() if step} == kept
