"""Which parameters decay, and the learning rate at each step."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from tasks.optim import Optim, constant, linear, one_cycle, parameter_groups, polynomial, rewinding, rising


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Embedding(5, 2))


def rates(schedule: Callable[[Optimizer, int], LRScheduler], steps: int) -> list[float]:
    optimizer, scheduler = Optim(partial(AdamW, lr=1.0, fused=True), schedule).build(network(), steps)
    found = []
    for _ in range(steps):
        found.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return [*found, scheduler.get_last_lr()[0]]


def test_biases_and_norms_do_not_decay() -> None:
    optimizer, _ = Optim(partial(AdamW, lr=1.0, weight_decay=0.1), partial(linear, warmup=0.0)).build(network(), 5)
    decays = {tuple(p.shape): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decays == {(4, 3): 0.1, (5, 2): 0.1, (4,): 0.0}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 5


def test_everything_decays_where_told() -> None:
    optim = Optim(partial(AdamW, lr=1.0, weight_decay=0.1), partial(linear, warmup=0.0), decay_biases_and_norms=True)
    optimizer, _ = optim.build(network(), 5)
    assert [(len(group["params"]), group["weight_decay"]) for group in optimizer.param_groups] == [(5, 0.1)]


def test_frozen_parameters_and_empty_groups_are_left_out() -> None:
    biases_only = network()
    for parameter in biases_only.parameters():
        parameter.requires_grad = parameter.ndim == 1
    assert [len(group["params"]) for group in parameter_groups(biases_only, False)] == [3]


def test_linear() -> None:
    assert rates(partial(linear, warmup=0.2), 10) == pytest.approx(
        [0, 0.5, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0]
    )


def test_constant() -> None:
    assert rates(constant, 3) == [1, 1, 1, 1]
    assert rates(partial(constant, warmup=0.5), 4) == pytest.approx([0, 0.5, 1, 1, 1])


def test_polynomial() -> None:
    assert rates(partial(polynomial, warmup=0.0, power=2.0, end=0.2), 4) == pytest.approx([1, 0.65, 0.4, 0.25, 0.2])


def test_rewinding() -> None:
    assert rates(partial(rewinding, warmup=0.2, cycles=2, end=0.5), 10) == pytest.approx(
        [0, 0.5, 1, 0.875, 0.75, 0.625, 1, 0.875, 0.75, 0.625, 0.5]
    )
    assert rates(partial(rewinding, warmup=0.2, cycles=1), 10) == pytest.approx(rates(partial(linear, warmup=0.2), 10))
    assert rates(partial(rewinding, warmup=0.0, cycles=2), 5) == pytest.approx([1, 0.6, 0.2, 0.8, 0.4, 0])


@pytest.mark.parametrize("cycles", [0, 9])
def test_illegal_cycles(cycles: int) -> None:
    with pytest.raises(ValueError, match=f"cycles={cycles} must be at least 1 and at most 8"):
        rewinding(torch.optim.SGD(network().parameters(), lr=1.0), 10, warmup=0.2, cycles=cycles)


def test_illegal_end() -> None:
    with pytest.raises(ValueError, match=r"end=1\.5 is not a share"):
        rewinding(torch.optim.SGD(network().parameters(), lr=1.0), 10, warmup=0.2, cycles=2, end=1.5)


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_short_runs(steps: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rates(partial(linear, warmup=0.06), steps)[-1] == 0.0


@pytest.mark.parametrize("schedule", [linear, polynomial, partial(rewinding, cycles=2)])
@pytest.mark.parametrize("warmup", [-0.1, 1.5])
def test_illegal_warmup(schedule: Callable[..., LRScheduler], warmup: float) -> None:
    with pytest.raises(ValueError, match=f"warmup={warmup} is neither a fraction"):
        schedule(torch.optim.SGD(network().parameters(), lr=1.0), 10, warmup=warmup)


@pytest.mark.parametrize(
    "wrong", [{"betas": 3}, {"lr": -1.0}, {"lr": "abc"}, {"foo": 1}, {"fused": True, "foreach": True}]
)
def test_illegal_optimizer(wrong: dict[str, Any]) -> None:
    optim = Optim(partial(AdamW, **wrong), partial(linear, warmup=0.0))
    with pytest.raises(ValueError, match=r"^optim.optimizer cannot be made \(.*\); correct what it is given$"):
        optim.build(network(), 5)


def test_illegal_nothing_to_train() -> None:
    with pytest.raises(ValueError, match="no parameter of the network is trainable"):
        parameter_groups(network().requires_grad_(False), False)


ONE_CYCLE = {"div_factor": 25, "final_div_factor": 1e4, "base_momentum": 0.85, "max_momentum": 0.95}


def test_one_cycle_by_hand() -> None:
    optimizer, scheduler = Optim(partial(AdamW, lr=1.0), partial(one_cycle, pct_start=0.3, **ONE_CYCLE)).build(
        network(), 101
    )
    found, betas = [], []
    for _ in range(101):
        found.append([group["lr"] for group in optimizer.param_groups])
        betas.append(optimizer.param_groups[0]["betas"])
        optimizer.step()
        scheduler.step()
    peak = 0.3 * 101 - 1  # as torch counts

    def rate(step: int) -> float:
        up, down = step / peak, (step - peak) / (100 - peak)
        return 1 / 25 + up * (1 - 1 / 25) if step <= peak else 1 + down * (1 / 25 / 1e4 - 1)

    assert [one for one, _ in found] == pytest.approx([rate(step) for step in range(101)])
    assert all(one == two for one, two in found)
    assert betas[0] == (0.95, 0.999)
    assert min(beta for beta, _ in betas) == pytest.approx(0.85, abs=2e-3)
    assert betas[100][0] == pytest.approx(0.95)


@pytest.mark.parametrize(("steps", "share"), [(10, 0.1), (3, 0.3), (10, 1.0), (10, 0.0), (1, 0.3)])
def test_illegal_cycle(steps: int, share: float) -> None:
    with pytest.raises(ValueError, match=rf"pct_start={share} must leave both phases of a cycle of {steps} steps"):
        one_cycle(torch.optim.SGD(network().parameters(), lr=1.0), steps, pct_start=share, **ONE_CYCLE)


def test_one_cycle_of_nothing() -> None:
    scheduler = one_cycle(torch.optim.SGD(network().parameters(), lr=1.0), 0, pct_start=0.3, **ONE_CYCLE)
    assert scheduler.get_last_lr() == [1.0]


def test_a_range_test_rises_to_the_learning_rate_at_its_last_step() -> None:
    assert rates(partial(rising, start=0.1), 10)[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert rates(partial(rising, start=0.1), 1)[0] == pytest.approx(0.1)


@pytest.mark.parametrize("start", [0.0, 1.0, -1.0])
def test_illegal_range(start: float) -> None:
    with pytest.raises(ValueError, match=f"optim.schedule.start={start} must be positive and below lr=1.0"):
        rising(torch.optim.SGD(network().parameters(), lr=1.0), 10, start=start)
