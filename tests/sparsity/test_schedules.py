"""Plans worked by hand, and what holds for runs of every length."""

import math
from itertools import pairwise
from typing import Any

import pytest

from sparsity.schedules import Alternating, Cosine, Cubic, Once, Schedule, Staircase, geometric

LENGTHS = range(1, 501)


def test_once_by_hand() -> None:
    assert Once().plan(0, 0.8) == {0: 0.8}
    assert Once().plan(100, 0.8) == {0: 0.8}
    assert Once(0.29).plan(100, 0.8) == {29: 0.8}
    assert Once(0.999).plan(100, 0.8) == {99: 0.8}


def test_cubic_by_hand() -> None:
    # (1 - 3/4) ** 3 = 1/64 and (1 - 1/4) ** 3 = 27/64 of the way are missing
    assert Cubic(0.1, 0.5, 10).plan(100, 0.64) == pytest.approx({10: 0.0, 20: 0.37, 30: 0.56, 40: 0.63, 50: 0.64})
    assert Cubic(0.1, 0.5, 30).plan(100, 0.64) == pytest.approx({10: 0.0, 40: 0.63, 50: 0.64})
    assert Cubic(0.1, 0.5, 999).plan(100, 0.64) == {10: 0.0, 50: 0.64}
    assert Cubic(0.5, 0.5, 1).plan(100, 0.64) == {50: 0.64}


def test_cubic_with_a_large_first_cut_by_hand() -> None:
    # 3/4 at once, then 37/64, 56/64 and 63/64 of the last quarter
    plan = Cubic(0.1, 0.5, 10, first=0.75).plan(100, 0.64)
    assert plan == pytest.approx({10: 0.48, 20: 0.5725, 30: 0.62, 40: 0.6375, 50: 0.64})
    assert Cubic(0.1, 0.5, 20, first=1.0).plan(100, 0.64) == {10: 0.64, 30: 0.64, 50: 0.64}


def test_alternating_by_hand() -> None:
    # AC/DC's ImageNet recipe (Peste et al. 2021, section 4), a step standing for an epoch: the last dense phase has 10
    steps = Alternating(0.1, 0.85, 5).plan(100, 0.9)
    assert [step for step, value in steps.items() if value == 0.9] == [10, 20, 30, 40, 50, 60, 70, 85]
    assert [step for step, value in steps.items() if value == 0.0] == [15, 25, 35, 45, 55, 65, 75]
    assert Alternating(0.1, 0.5, 20).plan(100, 0.9) == {10: 0.9, 30: 0.0, 50: 0.9}
    assert Alternating(0.1, 0.5, 19).plan(100, 0.9) == {10: 0.9, 29: 0.0, 50: 0.9}


@pytest.mark.parametrize("schedule", [Alternating(0.0, 0.999, 1), Alternating(0.1, 0.85, 7), Alternating(0.3, 0.5, 40)])
def test_alternating_of_every_length(schedule: Alternating) -> None:
    for total in LENGTHS:
        begin, end = math.floor(schedule.begin * total + 1e-9), math.floor(schedule.end * total + 1e-9)
        if end - begin < 2 * schedule.every:
            with pytest.raises(ValueError, match="no dense phase fits"):
                schedule.plan(total, 0.8)
            continue
        plan = schedule.plan(total, 0.8)
        steps, values = list(plan), list(plan.values())
        assert (steps[0], steps[-1]) == (begin, end)
        assert values == [0.0 if i % 2 else 0.8 for i in range(len(values))]
        assert values[-1] == 0.8
        lengths = [later - earlier for earlier, later in pairwise(steps)]
        assert all(length == schedule.every for length in lengths[:-1])
        assert schedule.every <= lengths[-1] < 3 * schedule.every


def test_illegal_alternating_without_room_says_what_fits() -> None:
    with pytest.raises(ValueError, match="every=21 between steps 10 and 50 of 100; use every <= 20"):
        Alternating(0.1, 0.5, 21).plan(100, 0.8)
    with pytest.raises(ValueError, match="between steps 1 and 2 of 4; train for more steps"):
        Alternating(0.25, 0.5, 1).plan(4, 0.8)


def test_staircase_by_hand() -> None:
    assert Staircase(0.0, 0.5, 3).plan(100, 0.6) == pytest.approx({0: 0.2, 25: 0.4, 50: 0.6})
    assert Staircase(0.2, 0.23, 4).plan(100, 0.8) == pytest.approx({20: 0.2, 21: 0.4, 22: 0.6, 23: 0.8})


def test_cosine_by_hand() -> None:
    assert Cosine(20, 0.6).plan(100, 0.3) == pytest.approx({20: 0.225, 40: 0.075})
    assert Cosine(50, 1.0).plan(100, 0.5) == pytest.approx({50: 0.25})
    assert Cosine(30, 0.75).plan(120, 0.4) == pytest.approx({30: 0.3, 60: 0.1})
    assert Cosine(30, 0.75, closed=True).plan(120, 0.4) == pytest.approx({30: 0.3, 60: 0.1, 90: 0.0})
    assert Cosine(60, 0.75, closed=True).plan(120, 0.4) == pytest.approx({60: 0.1, 90: 0.0})


@pytest.mark.parametrize("target", [0.1, 0.3, 0.7, 0.8, 0.893])
@pytest.mark.parametrize(
    "schedule",
    [
        Once(),
        Once(0.5),
        Once(0.999),
        Cubic(0.0, 0.0, 1),
        Cubic(0.1, 0.8, 1),
        Cubic(0.1, 0.8, 100),
        Cubic(0.0, 0.999, 7),
        Cubic(0.3, 0.3, 5),
        Cubic(0.1, 0.8, 7, first=0.75),
        Staircase(0.0, 0.999, 2),
        Staircase(0.1, 0.8, 5),
    ],
)
def test_every_length_reaches_the_target_exactly(schedule: Schedule, target: float) -> None:
    for total in LENGTHS:
        try:
            plan = schedule.plan(total, target)
        except ValueError:
            assert isinstance(schedule, Staircase)
            window = math.floor(schedule.end * total + 1e-9) - math.floor(schedule.begin * total + 1e-9)
            assert window + 1 < schedule.levels
            continue
        steps, values = list(plan), list(plan.values())
        assert steps == sorted(steps)
        assert steps[0] >= 0
        assert steps[-1] < total
        assert values == sorted(values)
        assert values[0] >= 0
        assert values[-1] == target
        if isinstance(schedule, Cubic):
            assert all(later - earlier <= schedule.every for earlier, later in pairwise(steps))
            assert all(later - earlier == schedule.every for earlier, later in pairwise(steps[:-1]))
        if isinstance(schedule, Staircase):
            assert len(plan) == schedule.levels
            assert values == pytest.approx(
                [target * level / schedule.levels for level in range(1, schedule.levels + 1)]
            )


@pytest.mark.parametrize(("every", "end"), [(1, 1.0), (1, 0.01), (3, 0.75), (100, 0.75), (100, 1.0)])
def test_cosine_of_every_length(every: int, end: float) -> None:
    for total in LENGTHS:
        last = math.floor(end * total + 1e-9)
        if last <= every:
            with pytest.raises(ValueError, match="no update fits"):
                Cosine(every, end).plan(total, 0.3)
            continue
        plan = Cosine(every, end).plan(total, 0.3)
        assert list(plan) == list(range(every, last, every))
        assert all(0 < value < 0.3 for value in plan.values())
        assert all(earlier > later for earlier, later in pairwise(plan.values()))


def test_illegal_cosine_without_room_says_what_fits() -> None:
    with pytest.raises(ValueError, match="every=100 with end at step 75 of 100; use every <= 74"):
        Cosine(100, 0.75).plan(100, 0.3)
    assert list(Cosine(74, 0.75).plan(100, 0.3)) == [74]
    with pytest.raises(ValueError, match="end at step 1 of 2; train for more steps"):
        Cosine(1, 0.5).plan(2, 0.3)


def test_illegal_staircase_without_room_says_what_fits() -> None:
    with pytest.raises(ValueError, match="levels=5 updates between steps 1 and 4 of 10; use levels <= 4"):
        Staircase(0.1, 0.4, 5).plan(10, 0.8)
    assert list(Staircase(0.1, 0.4, 4).plan(10, 0.8)) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("schedule", "fields", "named"),
    [
        (Once, {"at": 1.0}, "at=1"),
        (Once, {"at": -0.1}, "at=-0.1"),
        (Once, {"at": math.nan}, "at=nan"),
        (Cubic, {"begin": 0.5, "end": 0.4, "every": 1}, "begin=0.5"),
        (Cubic, {"begin": -0.1, "end": 0.4, "every": 1}, "begin=-0.1"),
        (Cubic, {"begin": 0.1, "end": 1.0, "every": 1}, "end=1.0"),
        (Cubic, {"begin": 0.1, "end": 0.4, "every": 0}, "every=0"),
        (Cubic, {"begin": 0.1, "end": 0.4, "every": 1, "first": 1.1}, "first=1.1"),
        (Alternating, {"begin": 0.5, "end": 0.4, "every": 1}, "begin=0.5"),
        (Alternating, {"begin": 0.1, "end": 0.4, "every": 0}, "every=0"),
        (Staircase, {"begin": 0.5, "end": 0.4, "levels": 3}, "begin=0.5"),
        (Staircase, {"begin": 0.1, "end": 1.0, "levels": 3}, "end=1.0"),
        (Staircase, {"begin": 0.1, "end": 0.4, "levels": 1}, "levels=1"),
        (Cosine, {"every": 0, "end": 0.5}, "every=0"),
        (Cosine, {"every": 1, "end": 0.0}, "end=0"),
        (Cosine, {"every": 1, "end": 1.1}, "end=1.1"),
        (Cosine, {"every": 1, "end": 1.0, "closed": True}, "end=1 "),
    ],
)
def test_illegal_fields(schedule: Any, fields: dict[str, float], named: str) -> None:
    with pytest.raises(ValueError, match=rf"schedule\..*{named}"):
        schedule(**fields)


@pytest.mark.parametrize("schedule", [Once(), Cubic(0.1, 0.8, 1), Alternating(0.1, 0.8, 1), Staircase(0.0, 0.9, 2)])
@pytest.mark.parametrize("value", [-0.1, 1.0, math.nan])
def test_illegal_sparsity(schedule: Schedule, value: float) -> None:
    with pytest.raises(ValueError, match="sparsity="):
        schedule.plan(100, value)


@pytest.mark.parametrize("value", [0.0, -0.1, 1.1, math.nan])
def test_illegal_drop_fraction(value: float) -> None:
    with pytest.raises(ValueError, match="the drop fraction"):
        Cosine(1, 0.5).plan(100, value)


@pytest.mark.parametrize("schedule", [Once(0.1), Cubic(0.1, 0.8, 1), Alternating(0.1, 0.8, 1), Staircase(0.0, 0.9, 2)])
def test_illegal_run_without_steps(schedule: Schedule) -> None:
    with pytest.raises(ValueError, match="steps=0"):
        schedule.plan(0, 0.8)


def test_geometric_rounds() -> None:
    assert geometric(0.0, 0.8, 1) == [0.8]
    assert geometric(0.0, 0.999, 3) == pytest.approx([0.9, 0.99, 0.999])
    assert geometric(0.5, 0.875, 2) == pytest.approx([0.75, 0.875])
    assert geometric(0.3, 0.3, 2) == pytest.approx([0.3, 0.3])
    assert geometric(0.0, 0.7, 100)[-1] == 0.7
