"""Methods against loops written by hand: plain PyTorch steps, masks by sorting in NumPy, formulas from the papers."""

import math

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback

from tests.methods.building import parts

STEPS = 20
SPARSITY = 0.7


class FirstMasks(Callback):
    """Remembers the masks and weights that training starts with."""

    def __init__(self, sparsifier):
        self.sparsifier = sparsifier

    def on_train_start(self, trainer, module):
        self.masks = {name: mask.clone() for name, mask in self.sparsifier.masks.items()}
        self.weights = {name: weight.detach().clone() for name, weight in module.network.named_parameters()}


class Losses(Callback):
    """Remembers the loss of every step."""

    def __init__(self):
        self.losses = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.losses.append(float(outputs["loss"]))


def highest(scores, keep):
    """Masks of the `keep` highest scores over all tensors, the earlier place first among equals."""
    flat = np.concatenate([score.ravel() for score in scores.values()])
    chosen = np.zeros(flat.size, dtype=bool)
    chosen[np.argsort(-flat, kind="stable")[:keep]] = True
    parts_ = np.split(chosen, np.cumsum([score.size for score in scores.values()])[:-1])
    return {name: part.reshape(scores[name].shape) for (name, part) in zip(scores, parts_, strict=True)}


def in_scope(network):
    return {
        name: weight
        for name, weight in network.named_parameters()
        if ".encoder.layer." in name and name.endswith(("query.weight", "key.weight", "value.weight", "dense.weight"))
    }


def hand_loop(config, masks, update=lambda step, masks, weights: masks, rests=()):
    """Trains with masks that `update` may change at a step; returns network, masks and losses.

    At the steps in `rests` no weight moves.
    """
    module = parts(config).module
    network = module.network
    weights = in_scope(network)
    optimizer, schedule = module.optim.build(network, module.steps)
    losses = []
    for step, batch in enumerate(module.train_dataloader()):
        with torch.no_grad():
            for name, weight in weights.items():
                weight[~torch.from_numpy(masks[name])] = 0.0
        loss = module.loss(batch)
        loss.backward()
        new = update(step, masks, weights)
        for name, weight in weights.items():
            changed = torch.from_numpy(~(masks[name] & new[name]))
            for moment in ("exp_avg", "exp_avg_sq"):
                if moment in optimizer.state[weight]:
                    optimizer.state[weight][moment][changed] = 0.0
            weight.grad[~torch.from_numpy(new[name])] = 0.0
            with torch.no_grad():
                weight[~torch.from_numpy(new[name])] = 0.0
        masks = new
        if step in rests:
            optimizer.zero_grad()  # to None: the optimizer passes over it
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return network, masks, losses


def compare(run, expected_network, expected_masks, losses=None, expected_losses=None):
    for name, mask in run.sparsifier.masks.items():
        assert np.array_equal(mask.numpy(), expected_masks[name]), name
    for (name, weight), other in zip(run.weights.items(), expected_network.parameters(), strict=True):
        torch.testing.assert_close(weight, other.detach(), rtol=0, atol=1e-7, msg=name)
    if losses is not None:
        assert losses == expected_losses


def magnitudes(weights):
    return {name: np.abs(weight.detach().numpy()) for name, weight in weights.items()}


@pytest.fixture
def config(small):
    return lambda *overrides: small(f"steps={STEPS}", f"sparsity={SPARSITY}", *overrides)


def test_one_shot_magnitude(config, tmp_path):
    run, losses = parts(config("method=magnitude_before")), Losses()
    initial = in_scope(parts(run.config).module.network)
    numel = sum(weight.numel() for weight in initial.values())
    masks = highest(magnitudes(initial), round(numel * (1 - SPARSITY)))
    run.fit(tmp_path, losses)
    network, masks, expected = hand_loop(run.config, masks)
    compare(run, network, masks, losses.losses, expected)


def test_snip(config, tmp_path):
    run = parts(config("method=snip", "method.sparsifier.gradient_batches=3"))
    module = parts(run.config).module.eval()
    weights = in_scope(module.network)
    for _, batch in zip(range(3), module.train_dataloader(), strict=False):
        module.loss(batch).backward()
    scores = {name: np.abs((weight * weight.grad).detach().numpy()) for name, weight in weights.items()}
    numel = sum(weight.numel() for weight in weights.values())
    run.fit(tmp_path)
    network, masks, _ = hand_loop(run.config, highest(scores, round(numel * (1 - SPARSITY))))
    compare(run, network, masks)


def test_gmp(config, tmp_path):
    run = parts(config("method=gmp", "method.sparsifier.schedule.every=4"))
    # Zhu & Gupta, eq. 1, from step 2 (10 %) to step 16 (80 %)
    cubic = {t: SPARSITY * (1 - (1 - (t - 2) / 14) ** 3) for t in (2, 6, 10, 14, 16)}

    def update(step, masks, weights):
        if step not in cubic:
            return masks
        scores = {name: np.where(masks[name], score, -1.0) for name, score in magnitudes(weights).items()}
        numel = sum(score.size for score in scores.values())
        return highest(scores, round(numel * (1 - cubic[step])))

    run.fit(tmp_path)
    assert list(run.sparsifier.plan) == list(cubic)
    everything = {name: np.ones(weight.shape, dtype=bool) for name, weight in in_scope(run.module.network).items()}
    network, masks, _ = hand_loop(run.config, everything, update)
    compare(run, network, masks)


def exchanged(masks, weights, share):
    """What stays of each tensor when a share of its kept weights goes, the smallest ones."""
    kept = {name: int(mask.sum()) for name, mask in masks.items()}
    scores = {name: np.where(masks[name], score, -1.0) for name, score in magnitudes(weights).items()}
    return {name: highest({"": scores[name]}, kept[name] - int(share * kept[name]))[""] for name in masks}


@pytest.mark.parametrize("method", ["rigl", "magnitude_rigl"])
def test_rigl(config, tmp_path, method):
    run = parts(config(f"method={method}", "method.sparsifier.schedule.every=3"))
    alpha, end, rests = {"rigl": (0.3, 15, (3, 6, 9, 12)), "magnitude_rigl": (0.5, 20, ())}[method]
    first = FirstMasks(run.sparsifier)

    def update(step, masks, weights):
        if step == 0 or step % 3 or step >= end:
            return masks
        fraction = alpha / 2 * (1 + math.cos(math.pi * step / end))
        new = {}
        for name, stay in exchanged(masks, weights, fraction).items():
            gradient = np.where(stay, -1.0, np.abs(weights[name].grad.numpy()))
            new[name] = stay | highest({"": gradient}, int(masks[name].sum() - stay.sum()))[""]
        return new

    run.fit(tmp_path, first)
    network, masks, _ = hand_loop(run.config, {name: mask.numpy() for name, mask in first.masks.items()}, update, rests)
    assert any(not np.array_equal(first.masks[name].numpy(), masks[name]) for name in masks)
    compare(run, network, masks)


def test_ac_dc(config, tmp_path):
    run = parts(config("method=ac_dc", "method.sparsifier.schedule.every=3", "moments=zero"))

    def update(step, masks, weights):
        if step in (2, 8, 17):  # 10 %, two phases later, 85 %; every weight is a candidate
            scores = magnitudes(weights)
            return highest(scores, round(sum(score.size for score in scores.values()) * (1 - SPARSITY)))
        return everything if step in (5, 11) else masks

    run.fit(tmp_path)
    everything = {name: np.ones(weight.shape, dtype=bool) for name, weight in in_scope(run.module.network).items()}
    network, masks, _ = hand_loop(run.config, everything, update)
    compare(run, network, masks)


def test_rigl_global(config, tmp_path):
    run = parts(config("method=rigl_global", "method.sparsifier.schedule.every=3"))
    first = FirstMasks(run.sparsifier)

    def update(step, masks, weights):
        if step == 0 or step % 3:
            return masks
        kept = sum(int(mask.sum()) for mask in masks.values())
        number = int(0.15 * (1 + math.cos(math.pi * step / STEPS)) * kept)
        scores = {name: np.where(masks[name], score, -1.0) for name, score in magnitudes(weights).items()}
        stays = highest(scores, kept - number)
        gradients = {name: np.where(stays[name], -1.0, np.abs(w.grad.numpy())) for name, w in weights.items()}
        return {name: stays[name] | new for name, new in highest(gradients, number).items()}

    run.fit(tmp_path, first)
    network, masks, _ = hand_loop(run.config, {name: mask.numpy() for name, mask in first.masks.items()}, update)
    assert any(first.masks[name].sum() != masks[name].sum() for name in masks)
    compare(run, network, masks)


def test_snfs(config, tmp_path):
    run = parts(config("method=snfs", "method.sparsifier.schedule.every=3", "sparsity=0.9"))  # no tensor gets full
    first, momentum = FirstMasks(run.sparsifier), {}

    def update(step, masks, weights):
        for name, weight in weights.items():
            momentum[name] = 0.9 * momentum.get(name, np.float32(0)) + np.float32(0.1) * weight.grad.numpy()
        if step == 0 or step % 3:
            return masks
        stays = exchanged(masks, weights, 0.25 * (1 + math.cos(math.pi * step / STEPS)))
        missing = sum(int(mask.sum()) for mask in masks.values()) - sum(int(mask.sum()) for mask in stays.values())
        means = np.array([np.abs(momentum[name])[mask].mean(dtype=np.float64) for name, mask in masks.items()])
        shares = missing * means / means.sum()
        # Webster: the divisor at which the rounded shares sum to what is missing
        divisor = next(d for d in np.linspace(0.9, 1.1, 200_001) if np.floor(shares / d + 0.5).sum() == missing)
        new = {}
        for (name, stay), number in zip(stays.items(), np.floor(shares / divisor + 0.5), strict=True):
            new[name] = stay | highest({"": np.where(stay, -1.0, np.abs(momentum[name]))}, int(number))[""]
        return new

    run.fit(tmp_path, first)
    network, masks, _ = hand_loop(run.config, {name: mask.numpy() for name, mask in first.masks.items()}, update)
    assert any(first.masks[name].sum() != masks[name].sum() for name in masks)
    compare(run, network, masks)


@pytest.mark.parametrize("rewind", [0, 7, None])
def test_lottery_ticket(config, tmp_path, rewind):
    """Two levels: prune the trained weights within the last mask, go back to those of step `rewind`, or nowhere."""
    import train

    written = "null" if rewind is None else rewind
    done = train.obtain(config("method=lth", "sparsity=0.3", f"method.start.rewind_step={written}"))
    rewound_to = rewind or 0
    masks = trained = final = None
    for sparsity in (None, 0.2, 0.3):
        module = parts(config("method=dense", "sparsity=0")).module
        network, weights = module.network, in_scope(module.network)
        if sparsity is not None:
            scores = {name: np.where(masks[name], score, -1.0) for name, score in magnitudes(trained).items()}
            masks = highest(scores, round(sum(score.size for score in scores.values()) * (1 - sparsity)))
        else:
            masks = {name: np.ones(weight.shape, dtype=bool) for name, weight in weights.items()}
        if rewind is None and sparsity is not None:
            network.load_state_dict(final)
        optimizer, schedule = module.optim.build(network, module.steps)
        for step, batch in enumerate(module.train_dataloader()):
            if step == rewound_to:
                for name, weight in weights.items():
                    pruned = ~torch.from_numpy(masks[name])
                    with torch.no_grad():
                        weight[pruned] = 0.0
                    for moment in ("exp_avg", "exp_avg_sq"):
                        if moment in optimizer.state[weight]:
                            optimizer.state[weight][moment][pruned] = 0.0
            module.loss(batch).backward()
            if step >= rewound_to:
                for name, weight in weights.items():
                    weight.grad[~torch.from_numpy(masks[name])] = 0.0
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        trained, final = weights, network.state_dict()
    state = torch.load(done.checkpoint, weights_only=True)["state_dict"]
    for name, weight in network.named_parameters():
        torch.testing.assert_close(state[f"network.{name}"], weight.detach(), rtol=0, atol=1e-7, msg=name)
    for name, mask in masks.items():
        assert np.array_equal(state[f"network.{name}"].numpy() != 0, mask)
