"""Runs that start from runs: which ones, and that they are shared."""

import pytest

from runs.identity import run_id
from runs.start import DenseRun, Pretrained, PreviousLevel, TicketOf, levels
from tests.conftest import composed

LEVELS = [0.2, 0.36, 0.488, 0.5904, 0.67232, 0.737856, 0.7902848, 0.83222784, 0.865782272, 0.8926258176]


@pytest.mark.parametrize("n", range(1, 11))
def test_levels_are_exact_decimals(n):
    assert levels(LEVELS[n - 1], 0.2) == LEVELS[:n]


@pytest.mark.parametrize(
    ("target", "expected"),
    [(0.1, [0.1]), (0.2, [0.2]), (0.21, [0.2, 0.21]), (0.5, [0.2, 0.36, 0.488, 0.5]), (0.0, [0.0])],
)
def test_the_last_level_lands_on_the_target(target, expected):
    assert levels(target, 0.2) == expected


@pytest.mark.parametrize(("target", "expected"), [(0.3, [0.1, 0.2, 0.3]), (0.25, [0.1, 0.2, 0.25]), (0.05, [0.05])])
def test_levels_of_all_weights_are_equal_steps(target, expected):
    assert levels(target, 0.1, of_remaining=False) == expected


def chain(config):
    """Sparsities of the tickets below a config, and the id of the lowest run."""
    found = []
    while config.method.name == "lth":
        config = PreviousLevel(0.2, 0).needs(config)["ticket"]
        found.append(config.sparsity)
    return found, run_id(config)


def test_levels_are_shared_between_targets():
    dense = run_id(composed())
    assert chain(composed("method=lth", "sparsity=0.5")) == ([0.488, 0.36, 0.2, 0.0], dense)
    asked = run_id(composed("method=lth", "sparsity=0.36"))
    on_the_way = PreviousLevel(0.2, 0).needs(composed("method=lth", "sparsity=0.488"))["ticket"]
    assert run_id(on_the_way) == asked


def test_rewinding_needs_the_dense_run_cut_short():
    needs = PreviousLevel(0.2, 50).needs(composed("method=lth", "sparsity=0.2"))
    assert run_id(needs["ticket"]) == run_id(composed())
    assert run_id(needs["state"]) == run_id(composed("stop_step=50"))


def test_continued_weights_come_from_the_level_before():
    needs = PreviousLevel(0.2, None).needs(composed("method=imp_lr_rewind", "sparsity=0.36"))
    assert {role: run_id(config) for role, config in needs.items()} == dict.fromkeys(
        ("weights", "ticket"), run_id(composed("method=imp_lr_rewind", "sparsity=0.2"))
    )
    first = PreviousLevel(0.2, None).needs(composed("method=imp_lr_rewind", "sparsity=0.2"))
    assert run_id(first["weights"]) == run_id(first["ticket"]) == run_id(composed())


def test_a_ticket_of_another_method():
    needs = TicketOf("imp").needs(composed("method=imp_rewind", "sparsity=0.3"))
    assert {role: run_id(config) for role, config in needs.items()} == {
        "ticket": run_id(composed("method=imp", "sparsity=0.3"))
    }
    with pytest.raises(ValueError, match=r"method.start.method=imq is not a method; did you mean 'imp'\?"):
        TicketOf("imq").needs(composed())


def test_after_needs_the_dense_run_and_before_nothing():
    config = composed("method=magnitude_after", "sparsity=0.5", "method.retrain_steps=3")
    assert run_id(DenseRun().needs(config)["weights"]) == run_id(composed())
    assert Pretrained().needs(config) == {}


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.5])
def test_illegal_rate(rate):
    with pytest.raises(ValueError, match=r"rate=.* must be above 0 and below 1"):
        PreviousLevel(rate, 0)


def test_illegal_rewind_step():
    with pytest.raises(ValueError, match="rewind_step=-1 must be at least 0"):
        PreviousLevel(0.2, -1)
    with pytest.raises(ValueError, match="rewind_step=5 must be below steps=5"):
        PreviousLevel(0.2, 5).needs(composed("method=lth", "sparsity=0.5", "steps=5"))


@pytest.mark.parametrize("method", ["dense", "imp_rewind"])
def test_illegal_giver_of_a_ticket(method):
    with pytest.raises(ValueError, match=f"method.start.method={method} has no mask to give"):
        TicketOf(method).needs(composed("method=imp_rewind", "sparsity=0.3"))
