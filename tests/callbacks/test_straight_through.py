"""Plans, states and errors of methods whose pruned weights have hidden values."""

from contextlib import suppress
from copy import deepcopy

import pytest
import torch
from lightning.pytorch import Callback

from tests.conftest import METHODS, composed, of_method
from tests.methods.building import parts

HIDDEN = [m for m in METHODS if "every" in composed(f"method={m}").method.sparsifier]


def test_there_are_such_methods():
    assert len(HIDDEN) >= 5


def test_the_plan_has_an_entry_wherever_masks_are_chosen(small):
    sparsifier = parts(small("method=sr_ste", "sparsity=0.6", "method.sparsifier.every=5")).sparsifier
    assert sparsifier.make_plan(12) == {0: 0.6, 5: 0.6, 10: 0.6}
    assert sparsifier.make_plan(10) == {0: 0.6, 5: 0.6, 10: 0.6}
    assert sparsifier.make_plan(0) == {0: 0.6}
    more = {"every": 4, "schedule.begin": 0.2, "schedule.end": 0.7, "schedule.every": 3}
    overrides = [f"method.sparsifier.{key}={value}" for key, value in more.items()]
    plan = parts(small("method=learned_mask_joint", "sparsity=0.8", *overrides)).sparsifier.make_plan(10)
    assert plan == pytest.approx({2: 0.0, 4: 0.0, 5: 0.8 * (1 - 0.4**3), 7: 0.8, 8: 0.8})


class Counts(Callback):
    """Remembers how many weights are kept when a step begins, in its checkpoints too, and at the end."""

    def __init__(self, sparsifier):
        self.sparsifier = sparsifier
        self.kept = []

    def on_train_batch_start(self, *_):
        self.kept.append(sum(int(mask.sum()) for mask in self.sparsifier.masks.values()))

    on_train_end = on_train_batch_start


@pytest.mark.parametrize("method", [m for m in HIDDEN if m != "soft_movement"])
def test_counts_are_those_of_the_plan_at_every_step(small, tmp_path, method):
    run = parts(small(*of_method(method, 0.7)))
    counts = Counts(run.sparsifier)
    run.fit(tmp_path, counts)
    numel, value, expected = 4096, 0.0, []
    for step in range(13):
        value = run.sparsifier.plan.get(step, value)
        expected.append(round(numel * (1 - value)))
    assert counts.kept == expected
    assert counts.kept[-1] == round(numel * 0.3)


@pytest.mark.parametrize("method", HIDDEN)
def test_masks_move_and_hidden_values_come_back(small, tmp_path, method):
    """A weight that is kept again has the value that it had behind its zero, moved by one step at most."""
    run = parts(small(*of_method(method), "lr=1e-2", "steps=30"))
    returned = []

    class Watch(Callback):
        def on_train_batch_start(self, *_):
            self.masks = {name: mask.clone() for name, mask in run.sparsifier.masks.items()}
            self.values = {name: values.clone() for name, values in run.sparsifier._values.items()}

        def on_train_batch_end(self, *_):
            for name, mask in run.sparsifier.masks.items():
                again = mask & ~self.masks[name]
                weight = dict(run.module.network.named_parameters())[name].detach()
                assert (weight[again] - self.values[name][again]).abs().le(0.1).all()
                assert weight[again].ne(0).all()
                returned.append(int(again.sum()))

    run.fit(tmp_path, Watch())
    assert sum(returned) > 0


@pytest.mark.parametrize("method", HIDDEN)
def test_the_state_is_restored_bit_for_bit(small, tmp_path, method):
    config = small(*of_method(method))
    first, second = parts(config), parts(config)
    first.fit(tmp_path / "a", stop_step=5)
    path = tmp_path / "a" / "checkpoints" / "last.ckpt"
    state = torch.load(path, weights_only=True)
    seen = []

    class Look(Callback):
        def on_train_start(self, trainer, module):
            seen.append(deepcopy(second.sparsifier.state_dict()))
            seen.append(deepcopy(trainer.optimizers[0].state_dict()))

    second.fit(tmp_path / "b", Look(), resume=path)
    torch.testing.assert_close(seen[0], state["callbacks"]["Sparsifier"], rtol=0, atol=0)
    kept = state["optimizer_states"][0]
    assert seen[1]["param_groups"] == kept["param_groups"]
    torch.testing.assert_close(seen[1]["state"], kept["state"], rtol=0, atol=0)


@pytest.mark.parametrize("method", HIDDEN)
def test_the_optimizer_is_left_without_our_hook(small, tmp_path, method):
    run = parts(small(*of_method(method), "steps=2"))

    class Keep(Callback):
        def on_train_start(self, trainer, module):
            self.optimizer = trainer.optimizers[0]

    keep = Keep()
    with suppress(ValueError):
        run.fit(tmp_path, keep)
    assert not keep.optimizer._optimizer_step_post_hooks


def test_frozen_means_frozen_but_for_what_is_named(small, tmp_path):
    run = parts(small(*of_method("learned_mask"), "method.sparsifier.train=[classifier]", "lr=1e-2", "steps=30"))
    before = run.weights
    first = {}

    class First(Callback):
        def on_train_start(self, *_):
            first.update({name: mask.clone() for name, mask in run.sparsifier.masks.items()})

    run.fit(tmp_path, First())
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


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("method=sr_ste method.sparsifier.every=0", "method.sparsifier.every=0 must be at least 1"),
        ("method=sr_ste method.sparsifier.strength=-1.0", "strength=-1.0 must be at least 0"),
        ("method=top_kast method.sparsifier.strength=-1.0", "strength=-1.0 must be at least 0"),
        ("method=top_kast method.sparsifier.explored=1.5", "explored=1.5 must be at least 0 and at most 1"),
        ("method=learned_mask method.sparsifier.margin=0.0", "margin=0.0 must be above 0, or null"),
        ("method=learned_mask method.sparsifier.train=['(']", r"train has an invalid pattern '\('"),
        ("method=soft_movement method.sparsifier.threshold=1.0", "threshold=1.0 must be above 0 and below 1"),
        ("method=soft_movement method.sparsifier.penalty=-1.0", "penalty=-1.0 must be at least 0"),
        ("method=soft_movement method.sparsifier.score_lr=0.0", "score_lr=0.0 must be above 0"),
    ],
)
def test_illegal(small, override, message):
    with pytest.raises(Exception, match=message):
        parts(small(*override.split(" "), "sparsity=0.5"))


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


def test_top_kast_moves_its_superset_and_nothing_else(small, tmp_path):
    more = ["method.sparsifier.every=100", "optim.optimizer.weight_decay=0.5"]
    run = parts(small(*of_method("top_kast"), *more))
    initial = run.weights
    run.fit(tmp_path)
    for name, superset in run.sparsifier.active.items():
        assert not (run.sparsifier.masks[name] & ~superset).any()
        assert torch.equal(run.sparsifier._values[name] != initial[name], superset)
