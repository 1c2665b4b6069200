"""Straight-through methods against loops written by hand, in which autograd meets an explicit straight-through step."""

import numpy as np
import pytest
import torch
from torch.nn.utils import parametrize

from tests.methods.building import parts
from tests.methods.test_hand_loop import SPARSITY, STEPS, Losses, compare, config, highest, in_scope

__all__ = ["config"]


class Step(torch.autograd.Function):
    """W * M whose gradient by W is what a method says, and by the scores as if M were them."""

    @staticmethod
    def forward(ctx, weight, score, mask, rule):
        ctx.save_for_backward(weight, mask)
        ctx.rule = rule
        return weight * mask

    @staticmethod
    def backward(ctx, gradient):
        weight, mask = ctx.saved_tensors
        return ctx.rule(gradient, weight, mask), gradient * weight, None, None


class Masked(torch.nn.Module):
    """Sees a weight through its mask."""

    def __init__(self, weight, score, rule):
        super().__init__()
        self.score = torch.nn.Parameter(score)
        self.mask = self.superset = torch.ones_like(weight, dtype=torch.bool)
        self.rule = rule

    def forward(self, weight):
        self.weight = weight * self.superset
        return Step.apply(self.weight, self.score, self.mask, self.rule)


def hand_loop(config, choose, rule, initial=None, penalty=lambda seen: 0.0, trained=True):
    """Returns masks, effective weights and losses of plain PyTorch steps on a network that is seen through its masks.

    Args:
        choose: step, masked weights and hidden values -> masks; before every forward pass and at the end.
        rule: gradient of the hidden values.
        initial: weight -> score, where scores are learned.
        penalty: masked weights -> what is added to the loss.
        trained: whether anything but the scores is.
    """
    module = parts(config).module
    network, weights = module.network, in_scope(module.network)
    optimizer, schedule = module.optim.build(network, module.steps)
    ordered = list(network.parameters())
    seen = {}
    for name, weight in weights.items():
        seen[name] = Masked(weight, (initial or torch.zeros_like)(weight.detach()), rule)
        layer = network.get_submodule(name.rpartition(".")[0])
        parametrize.register_parametrization(layer, "weight", seen[name])
        assert layer.parametrizations.weight.original is weight
    scores = [masked.score for masked in seen.values()] if initial else []
    optimizer.param_groups[1]["params"].extend(scores)

    def renew(step):
        supersets = {name: masked.superset for name, masked in seen.items()}
        for name, mask in choose(step, seen, weights).items():
            seen[name].mask = torch.from_numpy(mask)
            for moment in {"exp_avg", "exp_avg_sq"} & optimizer.state[weights[name]].keys():
                optimizer.state[weights[name]][moment][~(supersets[name] & seen[name].superset)] = 0.0

    losses = []
    for step, batch in enumerate(module.train_dataloader()):
        renew(step)
        loss = module.loss(batch)
        (loss + penalty(seen)).backward()
        if not trained:
            for weight in ordered:
                weight.grad = None
        torch.nn.utils.clip_grad_norm_([w for group in optimizer.param_groups for w in group["params"]], 1.0)
        before = {name: weight.detach().clone() for name, weight in weights.items()}
        optimizer.step()
        for name, masked in seen.items():
            with torch.no_grad():
                weights[name][~masked.superset] = before[name][~masked.superset]
        schedule.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    renew(STEPS)
    for name, masked in seen.items():
        with torch.no_grad():
            weights[name][~masked.mask] = 0.0
    return ordered, {name: masked.mask.numpy() for name, masked in seen.items()}, losses


class Ordered(list):
    """Parameters in the order of the network, as `compare` asks for them."""

    def parameters(self):
        return self


def check(run, tmp_path, *arguments, **options):
    watcher = Losses()
    run.fit(tmp_path, watcher)
    ordered, masks, losses = hand_loop(run.config, *arguments, **options)
    compare(run, Ordered(ordered), masks)
    assert watcher.losses == pytest.approx(losses, abs=1e-6)
    assert len(set(watcher.losses)) == STEPS


def keep(weights):
    return round(sum(weight.numel() for weight in weights.values()) * (1 - SPARSITY))


def magnitudes(weights):
    return {name: np.abs(weight.detach().numpy()) for name, weight in weights.items()}


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_sr_ste(config, tmp_path, every, strength):
    run = parts(config("method=sr_ste", f"method.sparsifier.strength={strength}", f"method.sparsifier.every={every}"))

    def choose(step, seen, weights):
        return highest(magnitudes(weights), keep(weights)) if step % every == 0 else {}

    check(run, tmp_path, choose, lambda gradient, weight, mask: gradient + strength * ~mask * weight)


@pytest.mark.parametrize("every", [1, 4])
def test_top_kast(config, tmp_path, every):
    strength, explored = 0.1, 0.25
    options = {"strength": strength, "explored": explored, "every": every}
    run = parts(config("method=top_kast", *(f"method.sparsifier.{key}={value}" for key, value in options.items())))

    def choose(step, seen, weights):
        if step % every:
            return {}
        numel = sum(weight.numel() for weight in weights.values())
        wider = highest(magnitudes(weights), round(numel * (1 - SPARSITY * (1 - explored))))
        for name, masked in seen.items():
            masked.superset = torch.from_numpy(wider[name])
        return highest(magnitudes(weights), keep(weights))

    def penalty(seen):
        return sum(
            strength / 2 * (m.weight.square() * (m.mask + (m.superset & ~m.mask) / m.mask.float().mean())).sum()
            for m in seen.values()
        )

    check(run, tmp_path, choose, lambda gradient, weight, mask: gradient, penalty=penalty)


@pytest.mark.parametrize("every", [1, 3])
def test_learned_mask(config, tmp_path, every):
    """Hard initialisation, everything else frozen."""
    options = ("method.sparsifier.margin=2e-3", "distribution=global")
    run = parts(config("method=learned_mask", f"method.sparsifier.every={every}", *options))
    weights = in_scope(parts(run.config).module.network)
    hard = highest(magnitudes(weights), keep(weights))
    places = {weight.detach().numpy().tobytes(): torch.from_numpy(hard[name]) for name, weight in weights.items()}

    def choose(step, seen, weights):
        scores = {name: masked.score.detach().numpy() for name, masked in seen.items()}
        return highest(scores, keep(weights)) if step % every == 0 else {}

    def initial(weight):
        return places[weight.numpy().tobytes()] * 2e-3

    check(run, tmp_path, choose, lambda gradient, weight, mask: None, initial, trained=False)


def cubic(step):
    """Zhu & Gupta, eq. 1, from step 2 (10 % of training) to step 14 (70 %), every fourth step."""
    at = max((s for s in (2, 6, 10, 14) if s <= step), default=None)
    return 0.0 if at is None else SPARSITY * (1 - (1 - (at - 2) / 12) ** 3)


def test_learned_mask_and_weights(config, tmp_path):
    run = parts(config("method=learned_mask_joint", "method.sparsifier.schedule.every=4"))

    def choose(step, seen, weights):
        numel = sum(weight.numel() for weight in weights.values())
        return highest({n: m.score.detach().numpy() for n, m in seen.items()}, round(numel * (1 - cubic(step))))

    check(run, tmp_path, choose, lambda gradient, weight, mask: gradient * mask, torch.zeros_like)


def test_soft_movement(config, tmp_path):
    rate, threshold, strength = 200.0, 0.2, 0.05
    options = {"score_lr": rate * 1e-3, "threshold": threshold, "penalty": strength, "schedule.every": 4}
    run = parts(config("method=soft_movement", *(f"method.sparsifier.{key}={value}" for key, value in options.items())))
    softer, reached = [], []

    def choose(step, seen, weights):
        reached.append(cubic(step) / SPARSITY)
        numel = sum(weight.numel() for weight in weights.values())
        scores = {n: rate * m.score.detach().numpy() for n, m in seen.items()}
        floor = highest(scores, round(numel * (1 - cubic(step))))
        if step < 14:
            masks = {n: floor[n] | (1 / (1 + np.exp(-scores[n])) > threshold) for n in scores}
            softer.append(sum(int(mask.sum()) for mask in masks.values()) / numel)
            return masks
        return floor

    def penalty(seen):
        return (
            reached[-1]
            * strength
            * torch.cat([m.score.flatten() * rate for m in seen.values()]).sigmoid().mean()
            / rate
        )

    check(run, tmp_path, choose, lambda gradient, weight, mask: gradient * mask, torch.zeros_like, penalty)
    assert reached[:3] == [0, 0, 0]
    assert 0 < reached[6] < 1 == reached[14]
    assert any(1 - cubic(step) + 0.01 < density < 1 for step, density in enumerate(softer)), softer
