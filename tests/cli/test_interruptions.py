"""What a training that stops, diverges or finds a foreign checkpoint tells its user, and what it leaves on disk."""

import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

import train as program
from runs.errors import sentences
from runs.folder import TrainingError
from tests.cli.program import injected, results, signalled, train, watched
from tests.conftest import ROOT, SMALL, of_method


def foreign(small, tmp_path, *other):
    """An interrupted rigl run whose checkpoint was replaced by that of another run."""
    run = program.obtain(small(*of_method("rigl")))
    (run.folder / "result.json").unlink()
    another = program.obtain(small(*other, f"root={tmp_path / 'others'}"))
    shutil.copy(another.checkpoint, run.checkpoint)
    return run


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (of_method("gmp"), "is the checkpoint of another run, little_world_qa-tiny-gmp-s0.6-seed1-"),
        ([*of_method("rigl"), "seed=2"], "is the checkpoint of another run, little_world_qa-tiny-rigl-s0.6-seed2-"),
        ([*of_method("rigl"), "model.layers=3"], "the checkpoint belongs to another model"),
        ([*of_method("rigl"), "scope=ffn"], "last.ckpt"),
        ([], "last.ckpt"),
    ],
    ids=["method", "seed", "model", "scope", "dense"],
)
def test_the_checkpoint_of_another_run_is_refused(small, tmp_path, monkeypatch, capsys, other, sentence):
    run = foreign(small, tmp_path, *other)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # sentences() sets it for good
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended, sentences():
        program.obtain(run.config)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert sentence in line
    assert run.result is None
    run.checkpoint.unlink()
    assert program.obtain(run.config).finished


def test_a_process_refuses_the_checkpoint_of_another_run(small, tmp_path):
    run = foreign(small, tmp_path, *of_method("gmp"))
    done = train(*SMALL, *of_method("rigl"), folder=run.folder.parent, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"error: {run.checkpoint} is the checkpoint of another run")
    assert run.result is None


@pytest.mark.filterwarnings("ignore:Encountered `nan` values")
def test_a_diverged_training_has_failed_and_is_tried_again(small):
    """No metric that is not a number is ever a result."""
    config = small("lr=1e30")
    done = train(*SMALL, "lr=1e30", folder=config.root, check=False)
    assert done.returncode == 1
    assert "training diverged: val/loss is inf" in done.stderr.splitlines()[-1]
    run = program.Run(config)
    first = run.result
    assert first["status"] == "failed"
    assert "training diverged: val/loss is inf" in first["error"]
    assert not (run.folder / "model").exists()
    (run.folder / "left").touch()
    with pytest.raises(TrainingError, match="training diverged"):
        program.obtain(config)
    assert not (run.folder / "left").exists()
    assert run.result == first


@pytest.mark.parametrize("method", ["gmp", "rigl"])
def test_a_diverged_sparse_training_has_failed(small, method):
    """The masks may be what finds the first number that is none."""
    config = small(*of_method(method), "lr=1e30")
    with pytest.raises(TrainingError, match=r"NaN|nan"):
        program.obtain(config)
    run = program.Run(config)
    assert run.result["status"] == "failed"
    assert not (run.folder / "model").exists()
    assert not run.interrupted


def test_sigterm_is_a_failure_that_the_same_command_mends(tmp_path):
    arguments = [*SMALL, *of_method("rigl"), "steps=150", "checkpoint_every=0"]
    command = [sys.executable, "train.py", *arguments, f"root={tmp_path / 'outputs'}"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (found := list((tmp_path / "outputs").glob("*/checkpoints/last.ckpt"))) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip().splitlines() == ["interrupted: the same command goes on"]
    assert not results(tmp_path / "outputs")
    stopped_at = torch.load(found[0], weights_only=True)["global_step"]
    assert 0 < stopped_at < 150
    resumed = train(*arguments, folder=tmp_path / "outputs", environment=watched(tmp_path / "watch"))
    assert f"begins at {stopped_at}" in resumed.stdout
    (result,) = results(tmp_path / "outputs").values()
    assert (result["status"], result["steps"]) == ("completed", 150)


def test_sigterm_is_a_failure_while_the_final_model_is_evaluated_too(tmp_path):
    interrupted = signalled(tmp_path / "signal", "SIGTERM", hook="on_test_batch_end")
    done = train(*SMALL, folder=tmp_path / "outputs", check=False, environment=interrupted)
    assert not results(tmp_path / "outputs")
    assert done.returncode == 130
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_job_that_ends_well_without_a_result_has_failed(tmp_path):
    sabotage = "import os, sys\nif '-seed2-' in sys.argv[-1]: os._exit(0)\n"
    arguments = ["-m", *SMALL, *of_method("magnitude_before"), "seed=2,3"]
    done = train(*arguments, folder=tmp_path, check=False, environment=injected(tmp_path / ".sabotage", sabotage))
    assert done.returncode != 0
    assert "1 of 2 runs completed" in done.stdout
    message = done.stderr.splitlines()[-1]
    assert "-seed2-" in message
    assert "(ended without a result)" in message
    assert "-seed3-" not in message
    assert [result["seed"] for result in results(tmp_path).values()] == [3]


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="trainer=gpu finds a GPU that cannot be hidden")
def test_a_gpu_that_is_not_there_is_named(tmp_path):
    done = train(*SMALL[:-1], "trainer=gpu", folder=tmp_path, check=False, environment={"CUDA_VISIBLE_DEVICES": ""})
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "trainer=gpu" in line
    assert "trainer=cpu" in line
    assert not list(tmp_path.glob("*-seed*"))
