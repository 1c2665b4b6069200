"""A run's life on disk."""

import json
import subprocess
import sys

import pytest

from runs.folder import Run, TrainingError
from runs.locks import BusyError
from tests.conftest import ROOT

NUMBERS = {
    "metrics": {"val/accuracy": 0.5},
    "sparsity": {"target": 0.0, "scope": 0.0, "model": 0.0},
    "steps": 3,
    "seconds": 1.0,
    "examples_per_second": 24.0,
}


@pytest.fixture
def run(small):
    return Run(small())


def trains(begin, accumulate):
    begin()
    return NUMBERS


def test_a_completed_run_is_finished(run, small):
    assert not run.finished
    first = Run(small("seed=7"))
    run.carry_out(trains, {"weights": first, "ticket": Run(small("seed=8"))})
    assert run.finished
    assert run.result["metrics"] == NUMBERS["metrics"]
    assert run.result["started_from"] == first.id
    assert run.result["versions"]["torch"].startswith("2.")
    assert not list(run.folder.glob(".*"))


def test_another_version_is_mentioned(run, capsys):
    run.carry_out(trains, {})
    run.mention_version()
    assert capsys.readouterr().err == ""
    run.write("result.json", {**run.result, "versions": {**run.result["versions"], "torch": "1.0"}})
    run.mention_version()
    assert "is the result of another version: torch 1.0, now 2." in capsys.readouterr().err
    run.mention_version()  # as another role of the same run does
    assert not capsys.readouterr().err


def test_a_mistake_before_training_leaves_nothing(run):
    def refuses(begin, accumulate):
        raise ValueError("no such scope")

    with pytest.raises(ValueError, match="no such scope"):
        run.carry_out(refuses, {})
    assert not run.folder.exists()


def test_a_failure_in_training_is_written_down_and_tried_again(run):
    def fails(begin, accumulate):
        begin()
        raise RuntimeError("out of memory")

    with pytest.raises(TrainingError, match="out of memory"):
        run.carry_out(fails, {})
    assert run.result["status"] == "failed"
    assert run.result["error"] == "RuntimeError: out of memory"
    assert not run.finished
    assert not run.interrupted
    run.carry_out(trains, {})
    assert run.finished


def test_an_interrupted_run_keeps_its_checkpoint_even_if_it_cannot_be_read(run):
    run.checkpoint.parent.mkdir(parents=True)
    run.checkpoint.write_text("half a checkpo")
    assert run.interrupted

    def refuses(begin, accumulate):
        raise ValueError("not a whole checkpoint")

    with pytest.raises(ValueError, match="not a whole checkpoint"):
        run.carry_out(refuses, {})
    assert run.interrupted


def test_a_fresh_start_takes_away_what_a_failed_one_left(run):
    run.folder.mkdir(parents=True)
    (run.folder / "metrics.csv").write_text("old")
    run.carry_out(trains, {})
    assert not (run.folder / "metrics.csv").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "3"])
def test_illegal_result(run, text):
    run.folder.mkdir(parents=True)
    (run.folder / "result.json").write_text(text)
    with pytest.raises(ValueError, match="is not a result; delete it"):
        _ = run.result


def test_the_lock_is_exclusive_and_goes_with_its_process(run):
    held = "import sys, time; from omegaconf import OmegaConf; from runs.folder import Run\n"
    held += "with Run(OmegaConf.create(sys.argv[1])).lock(): print('held', flush=True); time.sleep(60)"
    config = json.dumps({"root": run.config.root, **json.loads(json.dumps(_plain(run.config)))})
    other = subprocess.Popen([sys.executable, "-c", held, config], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline().strip() == "held"
    waiting = subprocess.Popen([sys.executable, "-c", held, config], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert waiting.stdout.readline().startswith("waiting for little_world_qa-tiny-dense")
    other.kill()
    other.wait()
    assert waiting.stdout.readline().strip() == "held"
    waiting.kill()
    waiting.wait()
    for process in (other, waiting):
        process.stdout.close()


def _plain(config):
    from omegaconf import OmegaConf

    return OmegaConf.to_container(config, resolve=True)


@pytest.mark.parametrize(
    "content", [{"status": "completed"}, {"status": 5}, {"status": "completed", **NUMBERS, "sparsity": 5}, {}, []]
)
def test_what_is_not_a_result_is_named(run, content):
    run.carry_out(trains, {})
    (run.folder / "result.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"result\.json is not a result; delete it to run this again"):
        _ = run.finished


def test_a_finished_run_is_shown_where_nothing_can_be_written(run, monkeypatch):
    run.carry_out(trains, {})

    def refuses(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.touch", refuses)
    with run.lock():
        assert "0.5000" in run.summary
    (run.folder / "result.json").unlink()
    with pytest.raises(ValueError, match="cannot be written to: Permission denied"), run.lock():
        pass


def test_a_job_of_a_sweep_does_not_wait(run, monkeypatch):
    monkeypatch.setenv("LACUNA_JOB", "1")
    with run.lock(), pytest.raises(BusyError, match=f"waiting for {run.id}"), Run(run.config).lock():
        pass
