"""The schema: what a wrong config is told."""

import pytest
from omegaconf import open_dict

from runs.nearest import nearest
from runs.settings import check, settle_length, training_steps
from tests.conftest import composed


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("+metod=rigl", "unknown key 'metod'; did you mean 'method'?"),
        ("+method.sparsifer={}", "unknown key 'method.sparsifer'; did you mean 'sparsifier'?"),
        ("+method.sparsifier.sparsty=0.5", "unknown key 'method.sparsifier.sparsty'; did you mean 'sparsity'?"),
        ("+scope.inclde=[a]", "unknown key 'scope.inclde'; did you mean 'include'?"),
        ("scope._target_=sparsity.scope.Scop", "did you mean 'Scope'?"),
        ("scope._target_=sparsity.scop.Scope", "there is no module sparsity.scop"),
        ("sparsity=1.0", "sparsity=1.0 must be at least 0 and below 1"),
        ("sparsity=1.5", "sparsity=1.5 must be at least 0 and below 1"),
        ("sparsity=-0.1", "sparsity=-0.1 must be at least 0 and below 1"),
        ("sparsity=nan", "sparsity=nan must be at least 0 and below 1"),
        ("sparsity=abc", "sparsity=abc must be a number"),
        ("sparsity=true", "sparsity=True must be a number"),
        ("seed=-1", "seed=-1 must be between"),
        ("seed=0.5", "seed=0.5 must be a whole number"),
        ("lr=0", "lr=0 must be positive"),
        ("batch_size=0", "batch_size=0 must be at least 1"),
        ("steps=-1", "steps=-1 must be at least 0"),
        ("stop_step=0", "stop_step=0 must be at least 1"),
        ("collapse=0", "collapse=0 must be at least 1 validation, or null"),
        ("+trainer.max_steps=3", "trainer.max_steps is not yours to set: a run ends with steps"),
        ("+trainer.limit_train_batches=3", "trainer.limit_train_batches is not yours to set"),
        ("+trainer.strategy=ddp", "trainer.strategy is not yours to set"),
        ("trainer.precision=16-mixed", "use bf16-mixed or 32-true"),
        ("+trainer.limit_test_batches=0", "trainer.limit_test_batches is not yours to set: a run evaluates whole"),
        ("trainer.accumulate_grad_batches=0", "trainer.accumulate_grad_batches=0 must be a whole number, at least 1"),
        ("trainer.gradient_clip_val=-1", "trainer.gradient_clip_val=-1 must be a positive number"),
        ("budget.sparsity=0.5", "budget.sparsity is sparsity: write sparsity=0.5"),
        ("trainer.devices=0", "trainer.devices=0 must be at least 1"),
        ("trainer.devices=auto", "trainer.devices=auto must be a whole number"),
        ("+trainer.num_nodes=0", "trainer.num_nodes=0 must be at least 1"),
        ("steps=null", "give either steps="),
        ("epochs=3", "give either steps="),
        ("method.start=3", "method.start=3 must be a constructor call"),
        ("root=3", "root=3 must be text"),
        ("+ood.hans=/x", "ood.hans=/x must be a constructor call with a _target_"),
        ("+task.data_dir=/x", "the task 'little_world_qa' reads no files"),
    ],
)
def test_illegal(override, sentence):
    with pytest.raises(ValueError, match=r".") as caught:
        check(composed(override))
    assert sentence in str(caught.value)


def test_illegal_missing_key():
    config = composed()
    with open_dict(config):
        del config["seed"]
    with pytest.raises(ValueError, match="'seed' is missing"):
        check(config)


def test_what_was_typed_settles_steps_or_epochs():
    config = composed("epochs=2")
    settle_length(config, ["epochs=2"])
    assert (config.steps, config.epochs) == (None, 2)
    config = composed("steps=7", "epochs=2")
    settle_length(config, ["steps=7"])
    assert (config.steps, config.epochs) == (7, None)


def test_illegal_both_lengths_typed():
    with pytest.raises(ValueError, match="two ways to say one thing"):
        settle_length(composed("steps=7", "epochs=2"), ["steps=7", "epochs=2"])


def test_training_steps_of_epochs_round_up():
    config = composed("steps=null", "epochs=1.5", "batch_size=10")
    assert training_steps(config, 101) == 16
    assert training_steps(composed("steps=5"), 101) == 5
    assert training_steps(composed("method=magnitude_after", "method.retrain_steps=0"), 101) == 0


def test_nearest():
    assert nearest("rgl", ["rigl", "gmp"]) == "; did you mean 'rigl'?"
    assert nearest("zzz", ["b", "a"]) == "; choose one of a, b"
    assert nearest("zzz", []) == ""


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["method=rigl", "steps=12"], r"no update fits: schedule\.every=100 with end at step 9 of 12"),
        (["method=rigl", "method.sparsifier.drop_fraction=2"], r"method\.sparsifier\.drop_fraction=2 must be above 0"),
        (["method=gmp", "steps=0"], "steps=0 leaves no step to prune at"),
    ],
)
def test_masks_that_cannot_change_as_planned_are_told_at_once(overrides, sentence):
    with pytest.raises(ValueError, match=sentence):
        check(composed("sparsity=0.5", *overrides))
