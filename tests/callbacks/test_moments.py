"""What becomes of an optimizer's memory of weights that are dropped and grown, by hand on one tensor."""

import pytest
import torch
from torch.nn import Parameter
from torch.optim import SGD, Adafactor, Adam, AdamW, RMSprop

from callbacks.moments import Keep, Remember, Zero
from tests.conftest import of_method
from tests.methods.building import parts

OLD = torch.tensor([True, True, False, False])
NEW = torch.tensor([True, False, True, False])


def momentum(values):
    weight = Parameter(torch.zeros(4))
    optimizer = SGD([weight], lr=0.1, momentum=0.9)
    optimizer.state[weight]["momentum_buffer"] = torch.tensor(values)
    return optimizer, weight, optimizer.state[weight]["momentum_buffer"]


def test_zero_keeps_what_is_kept_throughout():
    optimizer, weight, buffer = momentum([1.0, 2.0, 3.0, 4.0])
    Zero().change(optimizer, "w", weight, OLD, NEW)
    assert buffer.tolist() == [1, 0, 0, 0]


def test_keep_touches_nothing():
    optimizer, weight, buffer = momentum([1.0, 2.0, 3.0, 4.0])
    Keep().change(optimizer, "w", weight, OLD, NEW)
    assert buffer.tolist() == [1, 2, 3, 4]


def test_remember_gives_back_what_a_dropped_weight_had():
    optimizer, weight, buffer = momentum([1.0, 2.0, 0.0, 0.0])
    remember = Remember()
    remember.change(optimizer, "w", weight, OLD, NEW)
    assert buffer.tolist() == [1, 0, 0, 0]
    buffer.copy_(torch.tensor([5.0, 0.0, 6.0, 0.0]))
    restored = Remember()
    restored.load_state_dict(remember.state_dict())
    restored.change(optimizer, "w", weight, NEW, OLD)
    assert buffer.tolist() == [5, 2, 0, 0]
    restored.change(optimizer, "w", weight, OLD, NEW)
    assert buffer.tolist() == [5, 0, 6, 0]


@pytest.mark.parametrize("optimizer", [SGD, Adam, AdamW, RMSprop, Adafactor])
@pytest.mark.parametrize("moments", ["zero", "keep", "remember"])
def test_zeros_stay_under_every_policy(small, tmp_path, optimizer, moments):
    target = f"optim.optimizer._target_=torch.optim.{optimizer.__name__}"
    more = ["+optim.optimizer.momentum=0.9"] if optimizer in (SGD, RMSprop) else []
    gone = [f"~optim.optimizer.{key}" for key in small().optim.optimizer if key not in ("_target_", "_partial_", "lr")]
    run = parts(small(*of_method("rigl"), f"moments={moments}", target, *gone, *more))
    run.fit(tmp_path)
    for name, mask in run.sparsifier.masks.items():
        assert not run.weights[name][~mask].any()
    assert run.sparsifier.settled


@pytest.mark.parametrize("moments", ["keep", "remember"])
@pytest.mark.parametrize("method", ["rigl", "learned_mask_joint"])
def test_policies_resume(small, tmp_path, method, moments):
    config = small(*of_method(method), f"moments={moments}", "checkpoint_every=0")
    whole, halves, resumed = parts(config), parts(config), parts(config)
    whole.fit(tmp_path / "whole")
    halves.fit(tmp_path / "parts", stop_step=7)
    resumed.fit(tmp_path / "parts", resume=tmp_path / "parts" / "checkpoints" / "last.ckpt")
    for name, weight in whole.weights.items():
        assert torch.equal(weight, resumed.weights[name]), name
