"""Runs that do no better than guessing end early where that is asked for, and only those."""

import math
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.trainer.states import TrainerFn

import callbacks.last_checkpoint
import tasks.task
import train
from callbacks.collapse import Collapse
from runs.identity import identity
from tests.conftest import composed, of_method
from tests.methods.test_contract import Killed

DEAD = ["method=magnitude_before", "sparsity=0.99", "lr=1e-9", "steps=23", "collapse=3"]  # a validation each 3 steps


def test_a_collapsed_run_ends_early_and_says_so(small):
    run = train.obtain(small(*DEAD))
    result = run.result
    assert (result["status"], result["steps"], result["collapsed"]) == ("completed", 9, {"step": 9})
    assert result["sparsity"]["scope"] == pytest.approx(0.99, abs=2e-4)
    assert {"val/accuracy", "test/accuracy"} <= result["metrics"].keys()
    assert "  collapsed      at chance level, ended after step 9" in run.summary.splitlines()
    last = max(int(line.split(",")[0]) for line in (run.folder / "metrics.csv").read_text().split()[1:])
    assert last <= 9
    assert torch.load(run.checkpoint, weights_only=True)["global_step"] == 9
    assert (run.folder / "model" / "config.json").exists()


def test_one_that_is_better_than_guessing_does_not(small, monkeypatch):
    monkeypatch.setattr(tasks.task.Task, "chance", lambda self: 0.0)
    result = train.obtain(small(*DEAD)).result
    assert result["steps"] == 23
    assert "collapsed" not in result


def test_what_comes_before_the_target_sparsity_does_not_count(small):
    gradual = small("method=gmp", "sparsity=0.6", "method.sparsifier.schedule.every=2", "lr=1e-9", "steps=30")
    plan = train.build(gradual.method.sparsifier).make_plan(30)
    target = min(step for step, sparsity in plan.items() if 4096 * abs(sparsity - 0.6) < 0.5)  # to the weight
    early = train.obtain(small("method=magnitude_before", "sparsity=0.6", "lr=1e-9", "steps=30", "collapse=2"))
    late = train.obtain(small(*of_method("gmp"), "lr=1e-9", "steps=30", "collapse=2"))
    assert early.result["collapsed"] == {"step": 6}
    counted = math.ceil((target + 1) / 3) * 3  # the first validation at the target
    assert counted > 6
    assert late.result["collapsed"] == {"step": counted + 3}


def test_an_interrupted_run_ends_where_it_would_have(small, tmp_path, monkeypatch):
    whole = train.obtain(small(*DEAD))
    config = small(*DEAD, "checkpoint_every=0", f"root={tmp_path / 'broken'}")
    original, save = callbacks.last_checkpoint.LastCheckpoint.on_train_batch_start, tasks.task.Task.save

    def killing(self, trainer, *arguments):
        original(self, trainer, *arguments)
        if trainer.global_step == 5:
            raise Killed

    def killed(*_):
        raise Killed

    monkeypatch.setattr(callbacks.last_checkpoint.LastCheckpoint, "on_train_batch_start", killing)
    with pytest.raises(Killed):
        train.obtain(config)
    monkeypatch.setattr(callbacks.last_checkpoint.LastCheckpoint, "on_train_batch_start", original)
    monkeypatch.setattr(tasks.task.Task, "save", killed)  # all has been trained, and nothing is written yet
    with pytest.raises(Killed):
        train.obtain(config)
    monkeypatch.setattr(tasks.task.Task, "save", save)
    broken = train.obtain(config)
    for key in ("steps", "collapsed", "metrics", "flops"):
        assert broken.result[key] == whole.result[key], key
    assert (broken.folder / "metrics.csv").read_text() == (whole.folder / "metrics.csv").read_text()


def test_only_validations_in_a_row_count_and_what_cannot_be_computed_is_chance():
    trainer = SimpleNamespace(state=SimpleNamespace(fn=TrainerFn.FITTING), callback_metrics={}, should_stop=False)
    sparsifier = SimpleNamespace(settled=True)
    collapse = Collapse(2, "val/x", 0.5, sparsifier, own=True)

    def validated(value):
        trainer.callback_metrics = {"val/x": torch.tensor(value)}
        collapse.on_validation_end(trainer, None)
        return collapse.happened

    assert [validated(value) for value in (0.5, 0.6, math.nan)] == [False] * 3
    trainer.state.fn = TrainerFn.VALIDATING  # as of the final network
    assert not validated(0.1)
    trainer.state.fn, sparsifier.settled = TrainerFn.FITTING, False
    assert not validated(0.1)
    assert not trainer.should_stop
    sparsifier.settled = True
    assert validated(0.1)
    assert trainer.should_stop


def test_what_another_run_counted_does_not_count():
    for own, happened in ((True, True), (False, False)):
        collapse = Collapse(2, "val/x", 0.5, SimpleNamespace(settled=True), own)
        collapse.load_state_dict({"in_a_row": 2})
        assert collapse.happened == happened


def test_illegal_where_there_is_no_chance_level(small):
    config = composed("task=little_world_mlm", "collapse=2", "trainer=cpu", "steps=3", f"root={small().root}")
    with pytest.raises(ValueError, match="collapse=2 needs a metric with a chance level, which val/perplexity is not"):
        train.obtain(config)


def test_it_is_part_of_the_identity_where_it_is_set():
    assert identity(composed("collapse=3")) not in (identity(composed()), identity(composed("collapse=4")))
