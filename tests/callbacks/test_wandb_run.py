"""A network that is lost, an account that is missing, and what a run is called by Weights & Biases."""

import os
import sys
import time

import pytest

from callbacks.wandb_run import csv_and_wandb, job_type
from tests.conftest import composed

wandb = pytest.importorskip("wandb")

LABELS = {"task": "t", "model": "m", "method": "gmp"}
CONFIG = {"steps": 3, "method": {"name": "gmp", "start": {"_target_": "runs.start.Pretrained"}}}


def warned(caplog):
    """What our own module has warned of."""
    return [record.message for record in caplog.records if record.name == "callbacks.wandb_run"]


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """No account of whoever runs the tests, a server that no one answers for, and no run left open."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_MODE", "online")  # so that it is put back
    yield tmp_path / "run-0123456789"
    wandb.teardown()


def test_without_a_network_a_run_goes_on_offline_and_so_does_the_next(alone, monkeypatch, caplog):
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    begun = time.monotonic()
    _, run = csv_and_wandb("run-0123456789", alone, LABELS, CONFIG, project="p", timeout=1.0)
    assert 1.0 <= time.monotonic() - begun < 30
    assert run.experiment.settings.mode == "offline"
    run.log_metrics({"x": 1.0}, 1)
    run.end({}, {})
    (_,) = alone.glob("wandb/offline-run-*-0123456789/*.wandb")
    assert [line.split(" (")[0] for line in warned(caplog)] == ["wandb cannot be reached"]
    _, again = csv_and_wandb("next-9876543210", alone, LABELS, CONFIG, project="p", timeout=1.0)
    again.end({}, {})
    assert len(warned(caplog)) == 1


def test_illegal_without_an_account(alone):
    with pytest.raises(ValueError, match="run 'wandb login', or set WANDB_MODE=offline"):
        csv_and_wandb("run-0123456789", alone, LABELS, CONFIG, project="p", timeout=30.0)


def test_a_run_outlives_the_process_of_wandb(alone, monkeypatch, caplog):
    monkeypatch.setenv("WANDB_MODE", "offline")
    _, run = csv_and_wandb("run-0123456789", alone, LABELS, CONFIG, project="p", timeout=30.0)
    calls, finish = [], run.experiment.finish

    def dead(*_, **__):
        calls.append(1)
        raise ConnectionResetError("Connection reset by peer")

    monkeypatch.setattr(run.experiment, "log", dead)
    monkeypatch.setattr(run.experiment, "finish", lambda *_, **__: (finish(), dead()))
    for step in range(3):
        run.log_metrics({"x": 1.0}, step)
    run.end({"steps": 3}, {"tensors": []})
    assert len(calls) == 2
    assert warned(caplog) == [
        f"wandb is lost (Connection reset by peer): what it had is in {alone}/wandb, for 'wandb sync'"
    ]


def test_illegal_timeout(alone):
    with pytest.raises(ValueError, match="timeout=0 must be above 0 seconds"):
        csv_and_wandb("run-0123456789", alone, LABELS, CONFIG, project="p", timeout=0)


@pytest.mark.parametrize("missing", ["wandb", "PIL"])
def test_illegal_without_wandb_or_pillow(alone, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ValueError, match=r"pip install 'lacuna\[wandb\]'"):
        csv_and_wandb("run-0123456789", alone, LABELS, CONFIG, project="p", timeout=30.0)


@pytest.mark.parametrize(
    ("overrides", "kind"),
    [
        ([], "dense"),
        (["method=rigl", "sparsity=0.5"], "sparse"),
        (["method=magnitude_after", "sparsity=0.5"], "sparse"),
        (["method=imp_lr_rewind", "sparsity=0.5"], "lottery level"),
        (["steps=0"], "evaluation"),
        (["method=lth", "sparsity=0.5", "steps=0"], "evaluation"),
    ],
)
def test_a_job_type_says_what_kind_of_run_it_is(overrides, kind):
    assert job_type(composed(*overrides)) == kind
