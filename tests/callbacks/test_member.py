"""A member of a population hands its state over, and goes on from a state with other values."""

import json
import threading
import time

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR

from callbacks.member import REPORT, STATE, Member, set_lr, set_weight_decay
from tests.conftest import of_method
from tests.methods.building import parts


def schedule(lr, steps=0):
    weights = [torch.nn.Parameter(torch.ones(shape)) for shape in ((2, 2), (2,))]
    groups = [{"params": weights[:1], "weight_decay": 0.1}, {"params": weights[1:], "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=lr)
    found = LambdaLR(optimizer, lambda step: step / 4 if step < 4 else (12 - step) / 8)
    for _ in range(steps):
        optimizer.step()
        found.step()
    return found


@pytest.mark.parametrize("steps", [0, 2, 7])
def test_a_learning_rate_goes_on_as_if_it_had_begun_so(steps):
    changed, other = schedule(0.5, steps), schedule(0.02, steps)
    set_lr(changed, 0.02)
    for _ in range(12 - steps):
        assert changed.get_last_lr() == pytest.approx(other.get_last_lr())
        for each in (changed, other):
            each.optimizer.step()
            each.step()


def test_weight_decay_is_that_of_matrices():
    optimizer = schedule(0.5).optimizer
    for value in (0.0, 0.3):
        set_weight_decay(optimizer, value)
        assert [group["weight_decay"] for group in optimizer.param_groups] == [value, 0.0]


def handing_over(folder, states):
    """Lets a member go on each time that it has handed its state over, and keeps what it said and the state."""

    def watch():
        while not stop.is_set():
            if (folder / REPORT).exists():
                said = json.loads((folder / REPORT).read_text())
                (folder / STATE).rename(folder / f"{said['step']}.ckpt")
                states.append(said)
                (folder / REPORT).unlink()
            time.sleep(0.01)

    stop = threading.Event()
    thread = threading.Thread(target=watch)
    thread.start()
    return lambda: (stop.set(), thread.join())


@pytest.mark.parametrize("method", ["rigl", "gmp"])
def test_a_state_holds_weights_masks_optimizer_schedule_and_place(small, tmp_path, method):
    """With the values that it had, who goes on from a state ends as whoever handed it over."""
    config = small(*of_method(method), "model.dropout=0.1")
    values, said = {"lr": config.lr, "weight_decay": 0.01}, []
    plain = parts(config)
    plain.fit(tmp_path / "plain")
    first = parts(config)
    end = handing_over(tmp_path / "exchange", said)
    first.fit(tmp_path / "first", Member(str(tmp_path / "exchange"), values))
    end()
    assert [each["step"] for each in said] == [3, 6, 9]
    assert 0 <= said[0]["val/accuracy"] <= 1
    state, other = tmp_path / "exchange" / "6.ckpt", parts(config)
    end = handing_over(tmp_path / "other", [])
    other.fit(tmp_path / "second", Member(str(tmp_path / "other"), values), resume=state)
    end()
    for run in (first, other):
        assert all(torch.equal(weight, plain.weights[name]) for name, weight in run.weights.items())
        assert all(torch.equal(mask, plain.sparsifier.masks[name]) for name, mask in run.sparsifier.masks.items())
    faster = parts(config)
    end = handing_over(tmp_path / "other", [])
    faster.fit(tmp_path / "third", Member(str(tmp_path / "other"), {"lr": 10 * config.lr}), resume=state)
    end()
    assert not all(torch.equal(weight, plain.weights[name]) for name, weight in faster.weights.items())


def test_a_schedule_that_is_no_factor_of_the_rate_is_refused(small, tmp_path):
    config = small("optim=adamw_onecycle")
    with pytest.raises(ValueError, match="a population changes lr, so its schedule cannot be onecycle"):
        parts(config).fit(tmp_path, Member(str(tmp_path / "exchange"), {"lr": 0.1}))
