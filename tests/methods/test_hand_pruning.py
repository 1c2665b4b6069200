"""One-shot pruning by more than magnitude, and AC/DC with its memory, against loops written by hand."""

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from tests.methods.building import parts
from tests.methods.test_hand_loop import SPARSITY, compare, config, hand_loop, highest, in_scope, magnitudes

__all__ = ["config"]

THREE = "method.sparsifier.gradient_batches=3"


def dense_part(run):
    """The module of a run in evaluation mode, its weights in scope, its first three batches, and how many to keep."""
    module = parts(run.config).module.eval()
    weights = in_scope(module.network)
    batches = [batch for _, batch in zip(range(3), module.train_dataloader(), strict=False)]
    return module, weights, batches, round(sum(weight.numel() for weight in weights.values()) * (1 - SPARSITY))


def check(run, tmp_path, masks):
    run.fit(tmp_path)
    network, masks, _ = hand_loop(run.config, masks)
    compare(run, network, masks)


def test_grasp(config, tmp_path):
    """Half the gradient of |g|^2 is Hg; kept is what has the highest w * Hg."""
    run = parts(config("method=grasp", THREE))
    module, weights, batches, keep = dense_part(run)
    with sdpa_kernel(SDPBackend.MATH):
        loss = sum(module.loss(batch) for batch in batches) / 3
        gradients = torch.autograd.grad(loss, weights.values(), create_graph=True)
        sum(gradient.square().sum() / 2 for gradient in gradients).backward()
    check(run, tmp_path, highest({name: (w * w.grad).detach().numpy() for name, w in weights.items()}, keep))


def test_wanda(config, tmp_path):
    """In each row the 5 of 16, or 10 of 32, of the highest |w| * |x|."""
    run = parts(config("method=wanda", THREE))
    module, weights, batches, _ = dense_part(run)
    seen, masks = {name: [] for name in weights}, {}
    for name in weights:
        layer = module.network.get_submodule(name.removesuffix(".weight"))
        layer.register_forward_hook(lambda _, inputs, __, seen=seen[name]: seen.append(inputs[0].flatten(0, -2)))
    with torch.no_grad():
        for batch in batches:
            module.loss(batch)
    for name, size in magnitudes(weights).items():
        scores = size * np.linalg.norm(torch.cat(seen[name]).numpy(), axis=0)
        rows = [highest({"": row}, {16: 5, 32: 10}[len(row)])[""] for row in scores]
        masks[name] = np.stack(rows)
    check(run, tmp_path, masks)


def flows(network):
    """SynFlow's scores: what comes to a weight, times its magnitude, times what leaves from there, in float64."""
    w = {name: np.abs(weight.detach().double().numpy()) for name, weight in network.named_parameters()}
    layer = [f"bert.encoder.layer.{i}." for i in range(2)]
    chain = [
        *(
            [f"{at}{name}.weight" for name in names]
            for at in layer
            for names in (
                [f"attention.self.{part}" for part in ("query", "key", "value")],
                ["attention.output.dense"], ["intermediate.dense"], ["output.dense"],
            )
        ),
        ["bert.pooler.dense.weight"],
        ["classifier.weight"],
    ]  # fmt: skip
    flow = sum(weight.sum(0) for name, weight in w.items() if "embeddings" in name and weight.ndim == 2)
    coming = []
    for names in chain:
        coming.append(flow)
        flow = sum(w[name] for name in names) @ flow
    leaving, scores = np.ones_like(flow), {}
    for names, came in zip(chain[::-1], coming[::-1], strict=True):
        scores |= {name: leaving[:, None] * w[name] * came for name in names}
        leaving = sum(w[name] for name in names).T @ leaving
    return {name: scores[name] for name in in_scope(network)}


def test_synflow(config, tmp_path):
    """Five rounds, each of what the one before left."""
    run = parts(config("method=synflow", "method.sparsifier.rounds=5"))
    module, weights, _, keep = dense_part(run)
    masks = {name: np.ones(weight.shape, dtype=bool) for name, weight in weights.items()}
    numel = sum(mask.size for mask in masks.values())
    for density in (0.3**0.2, 0.3**0.4, 0.3**0.6, 0.3**0.8, 0.3):
        scores = {name: np.where(masks[name], score, -1.0) for name, score in flows(module.network).items()}
        masks = highest(scores, round(numel * density))
        with torch.no_grad():
            for name, weight in weights.items():
                weight[~torch.from_numpy(masks[name])] = 0.0
    assert sum(int(mask.sum()) for mask in masks.values()) == keep
    check(run, tmp_path, masks)


def test_ac_dc_gives_moments_back(config, tmp_path):
    """What is pruned has its moments put aside, and goes on with them in the next dense phase."""
    run = parts(config("method=ac_dc", "method.sparsifier.schedule.every=3"))
    module = parts(run.config).module
    network, weights = module.network, in_scope(module.network)
    optimizer, schedule = module.optim.build(network, module.steps)
    masks = {name: np.ones(weight.shape, dtype=bool) for name, weight in weights.items()}
    aside = {}
    for step, batch in enumerate(module.train_dataloader()):
        module.loss(batch).backward()
        pruning = step in (2, 8, 17)
        if pruning:
            masks = highest(magnitudes(weights), round(sum(mask.size for mask in masks.values()) * (1 - SPARSITY)))
        for name, weight in weights.items():
            pruned, state = ~torch.from_numpy(masks[name]), optimizer.state[weight]
            for moment in ("exp_avg", "exp_avg_sq"):
                if pruning:
                    aside[name, moment] = pruned, state[moment][pruned]
                    state[moment][pruned] = 0.0
                elif step in (5, 11):
                    places, values = aside[name, moment]
                    state[moment][places] = values
            if step in (5, 11):
                pruned[:] = False
            with torch.no_grad():
                weight[pruned] = 0.0
            weight.grad[pruned] = 0.0
        if step in (5, 11):
            masks = {name: np.ones_like(mask) for name, mask in masks.items()}
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    run.fit(tmp_path)
    compare(run, network, masks)
