"""What published code does otherwise than its paper: switched on it shows, switched off it does not."""

import pytest
import torch
from lightning.pytorch import Callback

from sparsity.budget import Budget
from sparsity.distributions import Global
from sparsity.patterns import Unstructured
from sparsity.scope import Scope
from tests.conftest import of_method
from tests.methods.building import parts


def test_smc_keeps_what_lies_strictly_above_the_threshold():
    scores = {"a": torch.tensor([1.0, 5.0, 3.0, 7.0]), "b": torch.tensor([2.0, 3.0, 0.0, 9.0])}
    exact, strict = (Unstructured().masks(scores, 4, Global(strict=strict)) for strict in (False, True))
    assert exact["a"].tolist() == [False, True, True, True]
    assert exact["b"].tolist() == [False, False, False, True]
    assert strict["a"].tolist() == [False, True, False, True]
    assert strict["b"].tolist() == [False, False, False, True]


class Counts(Callback):
    """Remembers how many weights are kept after each step."""

    def __init__(self, sparsifier):
        self.sparsifier = sparsifier
        self.kept = []

    def on_train_batch_end(self, *_):
        self.kept.append(sum(int(mask.sum()) for mask in self.sparsifier.masks.values()))


@pytest.mark.parametrize("method", ["gmp", "magnitude_before", "random_before", "rigl"])
def test_smc_prunes_the_head_too_and_one_weight_more_than_asked(small, tmp_path, method):
    """Where no scores tie, that is all it may miss."""
    run = parts(small(*of_method(method), "compat=smc"))
    counts = Counts(run.sparsifier)
    run.fit(tmp_path, counts)
    numel = sum(mask.numel() for mask in run.sparsifier.masks.values())
    assert "classifier.weight" in run.sparsifier.masks
    assert "bert.embeddings.word_embeddings.weight" in run.sparsifier.masks
    assert counts.kept[-1] == round(numel * 0.4) - 1
    sparsities = run.sparsifier.plan if method == "gmp" else dict.fromkeys(range(12), 0.6)
    for step, value in sparsities.items():
        if value:
            assert counts.kept[step] == round(numel * (1 - value)) - 1


def test_numenta_keeps_as_many_in_every_row(small, tmp_path):
    run = parts(small(*of_method("magnitude_before"), "compat=numenta"))
    run.fit(tmp_path)
    assert "bert.embeddings.word_embeddings.weight" in run.sparsifier.masks
    for mask in run.sparsifier.masks.values():
        assert set(mask.sum(1).tolist()) == {round(0.4 * mask.shape[1])}


@pytest.mark.parametrize("resumed", [False, True])
def test_srnets_lets_sparsity_drift_between_thresholds(small, tmp_path, resumed):
    more = ["compat=srnets", "method.sparsifier.threshold_every=4", "method.sparsifier.margin=null", "lr=1e-2"]
    config = small(*of_method("learned_mask"), *more)
    run = parts(config)
    counts = {}
    if resumed:
        parts(config).fit(tmp_path, stop_step=6, checkpoint_every=0)
        run.fit(tmp_path, resume=tmp_path / "checkpoints" / "last.ckpt")
        whole = parts(config)
        whole.fit(tmp_path / "whole")
        for name, mask in whole.sparsifier.masks.items():
            assert torch.equal(mask, run.sparsifier.masks[name])
        return
    original = run.sparsifier.update

    def counting(step, value):
        masks = original(step, value)
        counts[step] = sum(int(mask.sum()) for mask in masks.values())
        return masks

    run.sparsifier.update = counting
    run.fit(tmp_path)
    wanted = round(0.4 * sum(mask.numel() for mask in run.sparsifier.masks.values()))
    exact = {step for step, count in counts.items() if abs(count - wanted) <= len(run.sparsifier.masks)}
    assert {0, 4, 8, 12} <= exact
    assert exact != set(counts)
    assert run.sparsifier.settled


def test_smc_is_not_settled_while_too_much_is_kept():
    shapes = {"a": torch.Size([10, 10])}
    strict = Budget(0.5, Scope([""]), Global(strict=True))
    assert strict.met(shapes, 50)
    assert strict.met(shapes, 40)
    assert not strict.met(shapes, 60)


def test_srnets_starts_between_the_two_scores_of_hard_initialisation(small, tmp_path):
    run = parts(small(*of_method("learned_mask"), "compat=srnets", "lr=1e-5"))
    run.fit(tmp_path, stop_step=3)
    wanted = sum(round(0.4 * mask.numel()) for mask in run.sparsifier.masks.values())
    kept = sum(int(mask.sum()) for mask in run.sparsifier.masks.values())
    assert abs(kept - wanted) <= len(run.sparsifier.masks)


def test_srnets_ends_with_the_exact_count_though_no_threshold_moves_there(small, tmp_path):
    more = ["compat=srnets", "method.sparsifier.threshold_every=5", "method.sparsifier.margin=null", "lr=1e-2"]
    run = parts(small(*of_method("learned_mask"), *more))
    counts = Counts(run.sparsifier)
    run.fit(tmp_path, counts)
    assert counts.kept[10] != 1638  # of 4096, after 11 steps
    assert counts.kept[11] == 1638
