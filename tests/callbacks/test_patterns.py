"""Patterns and denominators inside a training."""

import json

import pytest
import torch

import train
from tests.conftest import of_method
from tests.methods.building import parts


def blocks(mask, size):
    return mask.unfold(0, size, size).unfold(1, size, size).flatten(2)


@pytest.mark.parametrize("method", ["rigl", "set", "gmp", "snip_rigl"])
def test_blocks_stay_whole_and_exact(small, tmp_path, method):
    run = parts(small(*of_method(method), "pattern=block"))
    run.fit(tmp_path)
    masks = run.sparsifier.masks
    for name, mask in masks.items():
        tiles = blocks(mask, 4)
        assert torch.equal(tiles.all(2), tiles.any(2))
        assert not run.weights[name][~mask].any()
    numel, kept = sum(m.numel() for m in masks.values()), sum(int(m.sum()) for m in masks.values())
    assert abs(kept - 0.4 * numel) <= 8
    assert run.sparsifier.settled


def test_rigl_moves_blocks_and_keeps_each_tensors_count(small, tmp_path):
    run = parts(small(*of_method("rigl"), "pattern=block", "pattern.rows=2", "pattern.cols=8"))
    run.fit(tmp_path / "stopped", stop_step=1)
    first = run.sparsifier.masks
    run = parts(small(*of_method("rigl"), "pattern=block", "pattern.rows=2", "pattern.cols=8"))
    run.fit(tmp_path / "whole")
    assert run.sparsifier.plan
    assert any(not torch.equal(mask, first[name]) for name, mask in run.sparsifier.masks.items())
    assert all(mask.sum() == first[name].sum() for name, mask in run.sparsifier.masks.items())


def test_two_of_four_at_the_end_of_gradual_pruning(small, tmp_path):
    run = parts(small(*of_method("gmp", 0.5), "pattern=n_m"))
    run.fit(tmp_path)
    assert len(run.sparsifier.plan) > 2
    assert all(bool((mask.view(-1, 4).sum(1) == 2).all()) for mask in run.sparsifier.masks.values())
    assert run.sparsifier.sparsity == 0.5


@pytest.mark.parametrize("method", ["gmp", "magnitude_before"])
def test_heads_and_neurons_go_as_a_whole(small, tmp_path, method):
    run = parts(small(*of_method(method, 0.5), "pattern=heads_and_neurons"))
    run.fit(tmp_path)
    masks = {name: mask for name, mask in run.sparsifier.masks.items() if ".layer.0." in name}
    heads, reads, up, down = (
        next(mask for name, mask in masks.items() if part in name)
        for part in ("query", "attention.output", "intermediate", "0.output")
    )
    assert torch.equal(heads, reads.T)
    assert torch.equal(heads.view(2, 8 * 16).all(1), heads.view(2, 8 * 16).any(1))
    assert torch.equal(up, down.T)
    assert torch.equal(up.all(1), up.any(1))
    assert run.sparsifier.settled
    assert 0.4 < run.sparsifier.sparsity < 0.6


def test_per_row_keeps_as_many_in_every_row(small, tmp_path):
    run = parts(small(*of_method("magnitude_before"), "distribution=per_row"))
    run.fit(tmp_path)
    for mask in run.sparsifier.masks.values():
        assert set(mask.sum(1).tolist()) == {round(0.4 * mask.shape[1])}
    assert run.sparsifier.settled


@pytest.mark.parametrize("pattern", ["n_m", "heads_and_neurons"])
@pytest.mark.parametrize("method", ["rigl", "set"])
def test_illegal_dynamic_sparse_training_of_what_cannot_be_exchanged(small, method, pattern):
    with pytest.raises(Exception, match=f"pattern={pattern} cannot be exchanged.*use pattern=block.* method=gmp"):
        parts(small(*of_method(method, 0.5), f"pattern={pattern}"))


def test_illegal_targets_are_told_before_other_runs_are_trained(small, tmp_path):
    for overrides in (["method=magnitude_after", "sparsity=0.8"], ["method=lth", "sparsity=0.5"]):
        with pytest.raises(Exception, match=r"none that pattern=n_m has, .* use sparsity=0\.5"):
            train.obtain(small(*overrides, "pattern=n_m"))
    assert not list((tmp_path / "outputs").rglob("last.ckpt"))


def test_a_sparsity_of_the_model(small, caplog):
    more = ["model.hidden_size=64", "model.intermediate_size=128", "model.heads=4"]
    run = train.obtain(small(*of_method("gmp", 0.4), "sparsity_of=model", *more))
    found = run.result["sparsity"]
    assert found["target"] == 0.4
    assert found["model"] == pytest.approx(0.4, abs=1e-5)
    assert found["scope"] > 0.5
    assert f"sparsity 0.4 of the model is {found['scope']:.4f} of its weights in scope" in caplog.text
    ledger = json.loads((run.folder / "ledger.json").read_text())
    assert ledger["scope"]["target"] == pytest.approx(found["scope"], abs=1e-5)


def test_illegal_sparsity_of_the_model(small, tmp_path):
    run = parts(small(*of_method("gmp", 0.9), "sparsity_of=model"))
    with pytest.raises(ValueError, match="the largest sparsity of the model that can be met is"):
        run.fit(tmp_path)
