"""The options of drop and grow in training: steps left out, newborns spared, exploration counted, options refused."""

import json
import re

import pytest
import torch
from lightning.pytorch import Callback
from torch.optim import SGD, Adafactor, Adam, AdamW, RMSprop

import train
from tests.conftest import of_method
from tests.methods.building import parts


class Seen(Callback):
    """Remembers weights, rates and masks around every step."""

    def __init__(self, sparsifier):
        self.sparsifier = sparsifier
        self.before, self.after, self.rates, self.masks, self.states = [], [], [], [], []

    def look(self, module):
        return {name: weight.detach().clone() for name, weight in module.network.named_parameters()}

    def on_train_batch_start(self, trainer, module, *_):
        self.before.append(self.look(module))

    def on_train_batch_end(self, trainer, module, *_):
        self.after.append(self.look(module))
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])
        self.masks.append({name: mask.clone() for name, mask in self.sparsifier.masks.items()})
        states = trainer.optimizers[0].state.values()
        self.states.append([value.clone() for state in states for value in state.values() if torch.is_tensor(value)])


@pytest.mark.parametrize("optimizer", [SGD, Adam, AdamW, RMSprop, Adafactor])
def test_no_weight_moves_at_an_update_if_told_so(small, tmp_path, optimizer):
    target = f"optim.optimizer._target_=torch.optim.{optimizer.__name__}"
    gone = [f"~optim.optimizer.{key}" for key in small().optim.optimizer if key not in ("_target_", "_partial_", "lr")]
    decay = "+optim.optimizer.weight_decay=0.1"
    run = parts(small(*of_method("rigl"), "+method.sparsifier.step_at_update=false", target, *gone, decay))
    usual = parts(small(*of_method("rigl"), target, *gone, decay))
    seen, other = Seen(run.sparsifier), Seen(usual.sparsifier)
    run.fit(tmp_path / "run", seen)
    usual.fit(tmp_path / "usual", other)
    assert list(run.sparsifier.plan) == [2, 4, 6, 8]
    for step, (before, after) in enumerate(zip(seen.before, seen.after, strict=True)):
        for name, mask in seen.masks[step].items():
            before[name] = before[name] * mask
        moved = {name for name, weight in after.items() if not torch.equal(weight, before[name])}
        if step in run.sparsifier.plan:
            assert not moved
        elif step > 0:  # where the learning rate is 0
            assert moved >= {"classifier.weight", *seen.masks[0]}
    assert seen.rates == other.rates  # the learning rate goes on
    for step in (2, 4):  # state of dropped weights is zeroed; nothing else happens to it, steps included
        for old, new in zip(seen.states[step - 1], seen.states[step], strict=True):
            assert torch.equal(new[new != 0], old[new != 0])


def test_the_contract_holds_without_the_step_and_with_grace(small, tmp_path):
    options = ["+method.sparsifier.step_at_update=false", "+method.sparsifier.grace=5", "trainer.gradient_clip_val=0.1"]
    run = parts(small(*of_method("rigl"), *options, "trainer.accumulate_grad_batches=2"))
    run.fit(tmp_path)
    assert run.sparsifier.settled
    for name, mask in run.sparsifier.masks.items():
        assert not run.weights[name][~mask].any()


@pytest.mark.parametrize("method", ["rigl", "dsr"])
@pytest.mark.parametrize("grace", [0, 5])
def test_newborns_stay_for_their_grace(small, tmp_path, method, grace):
    run = parts(small(*of_method(method), "steps=24", f"+method.sparsifier.grace={grace}"))
    seen = Seen(run.sparsifier)
    run.fit(tmp_path, seen)
    died_young = 0
    for name in run.sparsifier.masks:
        born = torch.full(run.sparsifier.masks[name].shape, -1000)
        for step, (old, new) in enumerate(zip(seen.masks, seen.masks[1:], strict=False), 1):
            died_young += int((old[name] & ~new[name] & (step - born < 5)).sum())
            born[new[name] & ~old[name]] = step
    assert (died_young == 0) == (grace == 5)


class Settled(Callback):
    """Remembers, where a best checkpoint would be saved, whether it may be, and the sparsity."""

    def __init__(self, sparsifier):
        self.sparsifier = sparsifier
        self.seen = {}

    def on_validation_end(self, trainer, module):
        self.seen[trainer.global_step] = self.sparsifier.settled, self.sparsifier.sparsity


@pytest.mark.parametrize("distribution", ["uniform", "per_row"])  # the latter may miss its target by more than that
def test_a_network_with_a_surplus_is_not_settled(small, tmp_path, distribution):
    options = [f"distribution={distribution}", "method.sparsifier.drop_fraction=0.1", "task.data.val=8"]
    run = parts(small(*of_method("mest_soft"), *options))
    settled = Settled(run.sparsifier)
    run.fit(tmp_path, settled)
    assert list(run.sparsifier.plan) == [2, 4, 6, 8, 9]
    assert run.sparsifier.plan[9] == 0
    for step, (met, found) in settled.seen.items():
        assert met == (found == settled.seen[12][1])
        assert met == (not 2 < step <= 8)
    assert list(settled.seen) == [2, 4, 6, 8, 10, 12]
    best = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    assert settled.seen[best["global_step"]][0]


def test_grown_weights_of_a_surplus_are_trained_and_some_stay(small, tmp_path):
    run = parts(small(*of_method("mest_soft"), "steps=24", "lr=1e-2", "method.sparsifier.schedule.every=6"))
    seen = Seen(run.sparsifier)
    assert 0 < run.fit(tmp_path, seen)["survival"] < 1
    stayed = 0
    for step in list(run.sparsifier.plan)[:-1]:
        for name, mask in seen.masks[step].items():
            born = mask & ~seen.masks[step - 1][name]
            assert seen.after[step][name][born].all()
            stayed += int((born & seen.masks[-1][name]).sum())
    assert stayed


def test_dropping_and_growing_at_random_are_independent(small, tmp_path):
    """No two draws of a run have anything in common."""
    run = parts(small(*of_method("set"), "method.sparsifier.drop._target_=sparsity.scores.random"))
    draws = {}
    original = run.sparsifier.scoring.scores

    def drawing(score, step, **use):
        draws[step, *use.values()] = found = original(score, step, **use)
        return found

    run.sparsifier.scoring.scores = drawing
    run.fit(tmp_path)
    updates = list(run.sparsifier.plan)
    assert sorted(draws) == sorted([(0,), *((step,) for step in updates), *((step, 1) for step in updates)])
    flat = torch.stack([torch.cat([draw.flatten() for draw in draws[key].values()]) for key in sorted(draws)])
    correlations = torch.corrcoef(flat) - torch.eye(len(draws))
    assert correlations.abs().max() < 0.1
    generator = torch.Generator().manual_seed(run.config.seed * 1_000_003 + updates[0])  # that of growth is pinned
    first = next(iter(draws[updates[0],].values()))
    assert torch.equal(first, torch.rand(first.shape, generator=generator))


def test_illegal_surplus_without_an_update_that_drops_it(small, tmp_path):
    run = parts(small(*of_method("mest_soft"), "method.sparsifier.schedule.closed=false"))
    with pytest.raises(ValueError, match=r"the last update, at step 8, leaves a surplus .*use .*closed=true"):
        run.fit(tmp_path)


def explored(masks):
    """Fraction of weights that any of the masks keeps."""
    ever = {name: torch.stack([each[name] for each in masks]).any(0) for name in masks[0]}
    return sum(int(mask.sum()) for mask in ever.values()) / sum(mask.numel() for mask in ever.values())


def survival(masks, plan):
    """Share of what the last update but one grew that the last one leaves."""
    *_, before, last = plan
    grown = {name: masks[before][name] & ~masks[before - 1][name] for name in masks[0]}
    left = sum(int((mask & masks[last][name]).sum()) for name, mask in grown.items())
    return left / sum(int(mask.sum()) for mask in grown.values())


@pytest.mark.parametrize("method", ["set", "snfs"])
def test_exploration_is_logged_and_in_the_result(small, tmp_path, method):
    run = parts(small(*of_method(method)))
    seen = Seen(run.sparsifier)
    result = run.fit(tmp_path, seen)
    assert result["explored"] == pytest.approx(explored(seen.masks))
    assert result["explored"] > 1 - run.config.sparsity
    assert result["survival"] == pytest.approx(survival(seen.masks, run.sparsifier.plan))
    rows = [line.split(",") for line in (tmp_path / "metrics.csv").read_text().splitlines()]
    logged = {int(step): float(value) for step, metric, value in rows if metric == "explored"}
    assert list(logged) == list(run.sparsifier.plan)
    assert sorted(logged.values()) == list(logged.values())
    assert logged[max(logged)] == result["explored"]
    assert [int(step) for step, metric, _ in rows if metric == "survival"] == list(run.sparsifier.plan)[1:]


def test_a_finished_run_says_what_it_explored_and_a_pruned_one_does_not(small):
    result = json.loads((train.obtain(small(*of_method("rigl"))).folder / "result.json").read_text())
    assert 0.4 < result["explored"] < 1
    assert "explored" not in train.obtain(small(*of_method("gmp"))).result


def test_a_resumed_run_remembers_what_it_explored(small, tmp_path):
    config = [*of_method("rigl"), "steps=24", "+method.sparsifier.grace=5"]
    whole = parts(small(*config)).fit(tmp_path / "whole")
    first = parts(small(*config))
    first.fit(tmp_path / "first", stop_step=9)
    state = torch.load(tmp_path / "first" / "checkpoints" / "last.ckpt", weights_only=True)
    assert list(state["callbacks"]["Sparsifier"]["exploration"]["born"]) == [4, 6, 8]
    rest = parts(small(*config)).fit(tmp_path / "rest", resume=tmp_path / "first" / "checkpoints" / "last.ckpt")
    assert {key: rest[key] for key in ("explored", "survival")} == {key: whole[key] for key in ("explored", "survival")}


@pytest.mark.parametrize("method", ["rigl", "dsr"])
def test_the_ledger_has_a_target_only_where_tensors_keep_their_count(small, tmp_path, method):
    run = parts(small(*of_method(method)))
    run.fit(tmp_path)
    tensors = run.sparsifier.ledger(run.module)["tensors"]
    assert all((row["target"] == row["kept"]) if method == "rigl" else row["target"] is None for row in tensors)


def test_momentum_takes_the_dense_gradient_at_every_step_until_the_last_update(small, tmp_path):
    run = parts(small(*of_method("snfs")))
    run.fit(tmp_path)
    last = max(run.sparsifier.plan)
    assert [run.sparsifier.looks_at_dense_gradient(step) for step in range(12)] == [step <= last for step in range(12)]


@pytest.mark.parametrize("value", ["-1"])
def test_illegal_grace(small, value):
    with pytest.raises(Exception, match=re.escape(f"grace={value} must be at least 0 steps")):
        parts(small(*of_method("rigl"), f"+method.sparsifier.grace={value}"))


@pytest.mark.parametrize("method", ["rigl", "rigl_global", "snfs"])
def test_illegal_gradient_names_the_tensor_and_the_step(small, tmp_path, method):
    run = parts(small(*of_method(method)))
    name = "bert.encoder.layer.1.output.dense.weight"

    class Diverge(Callback):
        def on_after_backward(self, trainer, module):
            if trainer.global_step == 4:
                dict(module.network.named_parameters())[name].grad.fill_(torch.nan)

    with pytest.raises(ValueError, match=rf"update of {re.escape(name)} at step 4: .*(?i:nan)"):
        run.fit(tmp_path, Diverge())
