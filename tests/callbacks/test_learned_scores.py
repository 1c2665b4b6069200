"""Scores that are trained: what they do to the optimizer, thresholds on them, and the penalty of soft movement."""

import pytest
import torch
from lightning.pytorch import Callback

from tests.callbacks.test_straight_through import lightly
from tests.conftest import of_method
from tests.methods.building import parts


def test_frozen_means_frozen_but_for_what_is_named(small, tmp_path):
    run = parts(small(*of_method("learned_mask"), "method.sparsifier.train=[classifier]", "lr=1e-2", "steps=30"))
    before = run.weights
    first = {}

    class First(Callback):
        def on_train_start(self, *_):
            first.update({name: mask.clone() for name, mask in run.sparsifier.masks.items()})

    numbers = run.fit(tmp_path, First())
    head = sum(weight.numel() for name, weight in before.items() if "classifier" in name)
    everything = sum(weight.numel() for weight in before.values()) - 4096 + round(0.4 * 4096)
    assert numbers["trainable"] == {"all": head, "head": head, "without_head": 0, "of": everything}
    assert numbers["trained_scores"] == 4096
    for name, weight in run.weights.items():
        kept = run.sparsifier.masks.get(name, torch.ones_like(weight, dtype=torch.bool))
        moved = not torch.equal(weight[kept], before[name][kept])
        assert moved == ("classifier.weight" in name or ("classifier.bias" in name and moved)), name
    assert any(not torch.equal(first[name], mask) for name, mask in run.sparsifier.masks.items())


@pytest.mark.parametrize("method", ["learned_mask", "learned_mask_joint"])
def test_scores_do_not_decay_and_follow_the_learning_rate(small, tmp_path, method):
    run = parts(small(*of_method(method)))
    groups = []

    class Groups(Callback):
        def on_train_end(self, trainer, module):
            scores = {id(score) for score in run.sparsifier._scores.values()}
            groups.extend(g for g in trainer.optimizers[0].param_groups if scores & {id(p) for p in g["params"]})

    run.fit(tmp_path, Groups())
    assert len(groups) == 1
    assert groups[0]["weight_decay"] == 0


def test_illegal_scores_that_would_decay(small, tmp_path):
    with pytest.raises(ValueError, match="need a parameter group without weight decay"):
        parts(small(*of_method("learned_mask"), "optim.decay_biases_and_norms=true")).fit(tmp_path)


def test_a_threshold_on_scores_drifts_and_loses_ties_where_exact_counts_do_not():
    """SRNets' rule, score > k-th smallest score, against the highest scores: eight scores, half of them tied at 0."""
    from sparsity.selection import top

    scores = torch.tensor([0.02, 0.0, 0.0, 0.02, 0.0, 0.02, 0.0, 0.02])
    assert int((scores > scores.sort().values[3 - 1]).sum()) == 4  # a target of 3 pruned prunes all four ties
    assert top([scores], 5)[0].tolist() == [True, True, False, True, False, True, False, True]
    moved = scores + torch.tensor([0.0, 0.01, 0.01, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert int((moved > scores.sort().values[3 - 1]).sum()) == 6  # before the threshold is moved, six instead of five
    assert int(top([moved], 5)[0].sum()) == 5


def test_soft_movement_keeps_blocks_whole_at_every_update(small, tmp_path):
    options = {"threshold": 0.5, "score_lr": 0.5, "penalty": 0.0}
    more = ["pattern=block", "steps=30", *(f"method.sparsifier.{key}={value}" for key, value in options.items())]
    run = parts(small(*of_method("soft_movement"), *more))
    above = []

    class Whole(Callback):
        def on_train_batch_start(self, trainer, *_):
            for mask in run.sparsifier.masks.values():
                blocks = mask.unfold(0, 4, 4).unfold(1, 4, 4).flatten(2)
                assert torch.equal(blocks.all(2), blocks.any(2))
            above.append(run.sparsifier.planned(trainer.global_step) - run.sparsifier.sparsity)

        on_train_end = on_train_batch_start

    run.fit(tmp_path, Whole())
    assert len(above) == 31
    assert sum(each > 0.02 for each in above) > 5  # the threshold keeps more than the floor


def test_the_penalty_of_soft_movement_rises_with_the_schedule(small, tmp_path):
    run = parts(small(*of_method("soft_movement"), "method.sparsifier.schedule.every=3", "method.sparsifier.every=2"))
    seen = []

    class Penalties(Callback):
        def on_train_batch_start(self, *_):
            seen.append(run.sparsifier._penalty)

    run.fit(tmp_path, Penalties())
    begun = 400 * (1 - (1 - 3 / 7) ** 3), 400 * (1 - (1 - 6 / 7) ** 3)
    assert seen == pytest.approx([0, 0, 0, 0, begun[0], begun[0], begun[0], begun[1], *[400] * 4])


@pytest.mark.parametrize("schedule", ["adamw_linear", "adamw_polynomial"])
def test_the_rate_of_scores_is_over_the_optimizers_own_learning_rate(small, tmp_path, schedule):
    run = parts(small(*of_method("soft_movement"), f"optim={schedule}", "optim.optimizer.lr=4e-3"))
    run.fit(tmp_path)
    assert run.sparsifier.rate == pytest.approx(1e-2 / 4e-3)


@pytest.mark.parametrize("moments", ["zero", "keep", "remember"])
@pytest.mark.parametrize("method", ["learned_mask_joint", "soft_movement"])
def test_moments_of_weights_whose_mask_is_off(small, tmp_path, method, moments):
    """Kept ones move hidden values on; others leave these, and are gone or given back when the mask is on again."""
    options = [f"moments={moments}", "optim.optimizer.weight_decay=0", "lr=1e-2", "steps=30"]
    run = parts(small(*of_method(method), *lightly(method), *options))
    hidden, given_back = [], []

    class Watch(Callback):
        def on_train_batch_start(self, *_):
            self.masks = {name: mask.clone() for name, mask in run.sparsifier.masks.items()}
            self.values = {name: values.clone() for name, values in run.sparsifier._values.items()}

        def on_train_batch_end(self, trainer, *_):
            for name, mask in run.sparsifier.masks.items():
                off = ~self.masks[name]
                hidden.append((run.sparsifier._values[name] != self.values[name])[off])
                moment = trainer.optimizers[0].state[run.sparsifier._weights[name]]["exp_avg"]
                given_back.append(moment[off & mask] != 0)

    run.fit(tmp_path, Watch())
    assert bool(torch.cat(hidden).any()) == (moments == "keep")
    assert bool(torch.cat(given_back).any()) == (moments != "zero")
    assert len(torch.cat(given_back)) > 10
