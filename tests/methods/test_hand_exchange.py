"""Methods that exchange random weights against loops written by hand; sparsities at which all counts are whole."""

import math
from fractions import Fraction

import numpy as np
import torch

from tests.methods.building import parts
from tests.methods.test_hand_loop import STEPS, FirstMasks, compare, config, hand_loop, highest, in_scope, magnitudes

__all__ = ["config"]


def drawn(weights, step):
    """The random scores of an update's growth, or at step 0 of the first masks: one generator for (seed, step)."""
    generator = torch.Generator().manual_seed(1 * 1_000_003 + step)
    return {name: torch.rand(weight.shape, generator=generator).numpy() for name, weight in weights.items()}


def top(scores, allowed, number):
    """Mask of the highest scores of one tensor at allowed places."""
    return highest({"": np.where(allowed, scores, -1.0)}, int(number))[""]


def check(run, tmp_path, kept, update):
    """Compares a run that starts with the `kept` highest draws of each tensor, {number of weights: kept ones}."""
    first = FirstMasks(run.sparsifier)
    run.fit(tmp_path, first)
    weights = in_scope(parts(run.config).module.network)
    masks = {name: highest({"": draw}, kept[draw.size])[""] for name, draw in drawn(weights, 0).items()}
    assert all(np.array_equal(first.masks[name].numpy(), mask) for name, mask in masks.items())
    network, ended, _ = hand_loop(run.config, masks, update)
    compare(run, network, ended)
    assert any(not np.array_equal(masks[name], ended[name]) for name in masks)


def fraction(step, end):
    """Evci et al., section 3: 30 % of the kept weights at first, none at step `end`; every third step."""
    return 0.15 * (1 + math.cos(math.pi * step / end)) if step and step % 3 == 0 and step < end else 0.0


def within_tensors(drop_score):
    """Exchanges within each tensor, until three quarters of training."""

    def update(step, masks, weights):
        share, draws = fraction(step, 15), drawn(weights, step)
        if not share:
            return masks
        new = {}
        for name, scores in drop_score(weights).items():
            number = int(share * masks[name].sum())
            stays = top(scores, masks[name], masks[name].sum() - number)
            new[name] = stays | top(draws[name], ~stays, number)
        return new

    return update


def test_set(config, tmp_path):
    """Densities 1/4 of 16 x 16 and 3/16 of 16 x 32 are as 32/256 to 48/512."""
    run = parts(config("method=set", "method.sparsifier.schedule.every=3", "sparsity=0.78125"))
    check(run, tmp_path, {256: 64, 512: 96}, within_tensors(magnitudes))


def test_mest(config, tmp_path):
    factor = "method.sparsifier.drop.factor=3.0"  # so much that gradients decide about weights, too
    run = parts(config("method=mest", "method.sparsifier.schedule.every=3", "sparsity=0.75", factor))
    moved = []

    def score(weights):
        both = {
            name: np.abs(w.detach().numpy()) + np.float32(3) * np.abs(w.grad.numpy()) for name, w in weights.items()
        }
        moved.append(any(not np.allclose(both[name], size, rtol=0.2) for name, size in magnitudes(weights).items()))
        return both

    check(run, tmp_path, {256: 64, 512: 128}, within_tensors(score))
    assert all(moved)


def awarded(weights, places, seats):
    """Sainte-Lague: seat after seat to the highest weight / (2 * seats so far + 1), the earlier one among equals."""
    counts = [0] * len(weights)
    for _ in range(seats):
        free = [i for i in range(len(weights)) if counts[i] < places[i]]
        counts[max(free, key=lambda i: Fraction(weights[i], 2 * counts[i] + 1))] += 1
    return counts


def test_dsr(config, tmp_path):
    run = parts(config("method=dsr", "method.sparsifier.schedule.every=3", "sparsity=0.75"))

    def update(step, masks, weights):
        share, draws = fraction(step, STEPS), drawn(weights, step)
        if not share:
            return masks
        kept = sum(int(mask.sum()) for mask in masks.values())
        number = int(share * kept)
        scores = {name: np.where(masks[name], score, -1.0) for name, score in magnitudes(weights).items()}
        stays = highest(scores, kept - number)
        left = [int(stay.sum()) for stay in stays.values()]
        numbers = awarded(left, [stay.size - n for stay, n in zip(stays.values(), left, strict=True)], number)
        return {name: stay | top(draws[name], ~stay, n) for (name, stay), n in zip(stays.items(), numbers, strict=True)}

    check(run, tmp_path, {256: 64, 512: 128}, update)
    assert len({int(mask.sum()) / mask.numel() for mask in run.sparsifier.masks.values()}) > 4
