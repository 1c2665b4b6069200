"""Command lines of sweeps: options of a swept group are composed with each of its choices."""

import pytest

from runs.sweeps import deferred, prepared


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("-m method=gmp,set method.x.y=3 seed=1", "-m method=gmp,set method.x.y=choice(3) seed=1"),
        ("-m method=gmp,set +method.z=[1,2]", "-m method=gmp,set +method.z=choice([1,2])"),
        ("--multirun task=a,b task.data_dir=/x", "--multirun task=a,b task.data_dir=choice(/x)"),
        ("-m experiment=smc_csqa method.x=3 steps=2", "-m experiment=smc_csqa method.x=choice(3) steps=2"),
    ],
)
def test_options_of_a_swept_group_wait(words, expected):
    assert deferred(words.split()) == expected.split()


@pytest.mark.parametrize(
    "words",
    [
        "method=gmp,set method.retrain_steps=3",
        "-m method=gmp method.retrain_steps=3 seed=1,2",
        "-m experiment=none method.retrain_steps=3",
        "-m method=gmp,set method.x=3,4 ~method.y method.z=choice(1) =3",
    ],
)
def test_other_words_stay(words):
    assert deferred(words.split()) == words.split()


def test_experiments_that_are_sweeps_are_not_swept():
    """Hydra would compose one job of each and leave out what they sweep."""
    with pytest.raises(ValueError, match="experiment=smc_csqa is a sweep of its own"):
        prepared(["-m", "experiment=smc_csqa,smc_race", "--dry-run"])
    assert prepared(["-m", "experiment=smc_csqa", "seed=1,2"]) == ["-m", "experiment=smc_csqa", "seed=1,2"]
