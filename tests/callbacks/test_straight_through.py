"""Plans, states and errors of methods whose pruned weights have hidden values."""

from contextlib import suppress
from copy import deepcopy

import pytest
import torch
from lightning.pytorch import Callback

from runs.settings import check
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


def lightly(method):
    """Overrides that leave scores to the loss: the whole penalty moves all those of so small a scope alike."""
    return ["method.sparsifier.penalty=0.0"] if "penalty" in composed(f"method={method}").method.sparsifier else []


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
    run = parts(small(*of_method(method), *lightly(method), "lr=1e-2", "steps=30"))
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


@pytest.mark.parametrize("moments", ["keep", "remember"])
def test_illegal_moments_where_the_same_weights_are_trained_throughout(small, moments):
    message = f"moments={moments} has no effect on method=sr_ste, where the weights .* stay the same; use moments=zero"
    with pytest.raises(ValueError, match=message):
        check(small(*of_method("sr_ste"), f"moments={moments}"))


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
        (
            "method=soft_movement pattern=n_m",
            "pattern=n_m cannot be cut .* use pattern=block .* method=learned_mask_joint",
        ),
        (
            "method=soft_movement pattern=heads_and_neurons pattern.heads.size=8",
            "pattern=heads_and_neurons cannot be cut",
        ),
    ],
)
def test_illegal(small, override, message):
    with pytest.raises(Exception, match=message):
        parts(small(*override.split(" "), "sparsity=0.5"))


def test_top_kast_moves_its_superset_and_nothing_else(small, tmp_path):
    more = ["method.sparsifier.every=100", "optim.optimizer.weight_decay=0.5"]
    run = parts(small(*of_method("top_kast"), *more))
    initial = run.weights
    run.fit(tmp_path)
    for name, superset in run.sparsifier.active.items():
        assert not (run.sparsifier.masks[name] & ~superset).any()
        assert torch.equal(run.sparsifier._values[name] != initial[name], superset)


def test_top_kast_penalizes_by_the_density_of_each_tensor_and_of_the_scope_where_one_is_empty(small, tmp_path):
    more = ["distribution=global", "method.sparsifier.explored=1.0", "method.sparsifier.strength=1.0"]
    run = parts(small(*of_method("top_kast"), *more))
    names = [name for name, _ in run.module.network.named_parameters() if name.endswith("query.weight")]
    with torch.no_grad():
        run.module.network.get_parameter(names[0]).mul_(1e-6)

    class Look(Callback):
        def on_train_start(self, trainer, module):
            for name, mask in run.sparsifier.masks.items():
                weight = run.sparsifier._weights[name]
                factor = run.sparsifier.gradient(name, torch.ones_like(weight), torch.zeros_like(weight))
                density = int(mask.sum()) / mask.numel() if name != names[0] else 1 - run.sparsifier.sparsity
                torch.testing.assert_close(factor, torch.where(mask, 1.0, 1 / density))
            assert run.sparsifier.densities[names[0]] == 0
            assert len(set(run.sparsifier.densities.values())) > 3

    run.fit(tmp_path, Look())
