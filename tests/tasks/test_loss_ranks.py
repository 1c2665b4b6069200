"""Losses that know more than labels on two gloo ranks: both agree with each other and with one process."""

import pytest
import torch

import train
from tests.conftest import composed
from tests.methods.building import parts
from tests.methods.rank import SMALL, two_ranks

TASK = ("task=little_world_nli", "task.data.train=320")
LOSSES = ["distill", "poe", "reweight", "confidence", "learned_mixin"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What each loss is trained with, and the folder where both ranks left their weights."""
    folder = tmp_path_factory.mktemp("ranks")
    teacher = train.obtain(composed(*SMALL, *TASK, f"root={folder}"))
    taught = [f"loss.teacher={teacher.model}"]
    more = {"distill": [*taught, "loss.hidden=1", "loss.attention=1", "loss.share=0.5"], "confidence": taught}
    overrides = {loss: [*TASK, f"loss={loss}", *more.get(loss, [])] for loss in LOSSES}
    two_ranks(folder, *(",".join(["whole:dense", *each]) for each in overrides.values()))
    return overrides, folder


@pytest.mark.xdist_group("loss ranks")
@pytest.mark.parametrize("loss", LOSSES)
def test_two_ranks_agree_and_are_one_process_up_to_rounding(trained, tmp_path, loss):
    overrides, folder = trained
    place = folder / "whole" / ",".join(["dense", *overrides[loss]])
    one, other = (torch.load(place / f"{rank}.pt", weights_only=True)["weights"] for rank in "01")
    assert one.keys() == other.keys()
    assert all(torch.equal(weight, other[name]) for name, weight in one.items())
    run = parts(composed(*SMALL, *overrides[loss], "model.dropout=0.0"))
    before = run.weights
    run.fit(tmp_path)
    moved = 0.0
    for name, weight in run.weights.items():
        if not name.endswith("key.bias"):  # which softmax does not see, so that its gradient is nothing but rounding
            torch.testing.assert_close(weight, one[name], rtol=0, atol=1e-4)
            moved = max(moved, float((weight - before[name]).abs().max()))
    assert moved > 1e-3
