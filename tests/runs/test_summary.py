"""The last lines of a run."""

from pathlib import Path

import pytest

from runs.summary import summary

RESULT = {
    "task": "rte",
    "model": "tiny",
    "method": "gmp",
    "seed": 1,
    "sparsity": {"scope": 0.5, "model": 0.25},
    "metrics": {"val/accuracy": 0.75},
    "steps": 12,
    "seconds": 1.5,
    "examples_per_second": 64.0,
}


def test_a_metric_may_be_undefined():
    lines = summary({**RESULT, "metrics": {"val/spearman": None, "val/loss": 2.5}}, Path("run")).splitlines()
    assert lines[1:3] == ["  val/loss      2.5000", "  val/spearman  undefined"]


def test_the_best_checkpoint_is_mentioned_where_it_is_not_the_last():
    best = {"step": 6, "val/accuracy": 0.8125, "val/loss": 0.5}
    assert "  best          val/accuracy 0.8125 at step 6" in summary({**RESULT, "best": best}, Path("r")).splitlines()
    assert "best" not in summary({**RESULT, "best": {**best, "step": 12}}, Path("r"))
    assert "best" not in summary({**RESULT, "best": None}, Path("r"))


@pytest.mark.parametrize("trainable", [None, {"all": 90, "head": 10, "without_head": 80, "of": 90}])
def test_full_tuning_is_not_mentioned(trainable):
    assert "trained" not in summary({**RESULT, "trainable": trainable}, Path("run"))


def test_what_is_trained_is_said_with_and_without_head():
    counts = {"all": 595_971, "head": 592_130, "without_head": 3_841, "of": 109_487_363}
    lines = summary({**RESULT, "trainable": counts}, Path("run")).splitlines()
    assert "  trained       3,841 of 109,487,363 parameters, and 592,130 of the head" in lines
    everything = {"all": 90, "head": 10, "without_head": 80, "of": 90}
    lines = summary({**RESULT, "trainable": everything, "trained_scores": 4096}, Path("run")).splitlines()
    assert "  trained       80 of 90 parameters, and 10 of the head; 4,096 scores" in lines
