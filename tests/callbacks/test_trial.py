"""A run that is a trial of a search reports what it comes to, and ends where others do better."""

from contextlib import suppress

import optuna
import pytest

from callbacks.trial import PrunedError, Trial
from tests.methods.building import parts
from tests.methods.rank import Stop, Stopped


@pytest.fixture
def storage(tmp_path):
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(tmp_path / "studies.log")))


def among(storage, value):
    """A study whose first trial had this value at each validation, and its second trial."""
    study = optuna.create_study(study_name="s", storage=storage, direction="maximize")
    first = study.ask()
    for step in (3, 6, 9, 12):
        first.report(value, step)
    study.tell(first, value)
    return study, study.ask().number


def trial(storage, number, metric="val/accuracy"):
    return Trial(storage, "s", optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=4), number, metric)


def test_a_run_that_others_beat_is_ended(small, storage, tmp_path):
    study, number = among(storage, 2.0)
    with pytest.raises(PrunedError, match="ended by the search at step 6 of 12"):
        parts(small()).fit(tmp_path / "run", trial(storage, number))
    ended = study.trials[number]
    assert list(ended.intermediate_values) == [3, 6]
    assert ended.user_attrs["pruned"] == 6


def test_a_run_that_does_well_goes_on_and_an_interrupted_one_reports_no_step_twice(small, storage, tmp_path):
    study, number = among(storage, -1.0)
    with suppress(Stopped):
        parts(small()).fit(tmp_path / "run", trial(storage, number), Stop(), checkpoint_every=0)
    assert list(study.trials[number].intermediate_values) == [3, 6]
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    numbers = parts(small()).fit(tmp_path / "run", trial(storage, number), resume=last)
    reported = study.trials[number].intermediate_values
    assert list(reported) == [3, 6, 9, 12]
    assert reported[12] == numbers["metrics"]["val/accuracy"]
    assert "pruned" not in study.trials[number].user_attrs


def test_a_metric_that_is_not_measured_is_named(small, storage, tmp_path):
    _, number = among(storage, 0.0)
    with pytest.raises(ValueError, match=r"'val/acc', which is not measured; there are val/accuracy, val/loss"):
        parts(small()).fit(tmp_path / "run", trial(storage, number, "val/acc"))
