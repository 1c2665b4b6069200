"""The life of a sweep on this machine: order, devices, failures, retries, interruptions."""

import os
import signal
import subprocess
import sys
import time
from itertools import combinations
from pathlib import Path

import pytest

from runs.local_pool import LocalPool, devices
from runs.status import note, status
from runs.sweep import Sweep, duration
from tests.conftest import ROOT
from tests.runs.pools import graph_of, scripted, seen, tries


@pytest.fixture
def two_devices(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")


def swept(*jobs, pool=None, retries=0):
    sweep = Sweep(pool or LocalPool(at_once=3), retries)
    sweep.run(graph_of(*jobs))
    return sweep


def overlap(one, other):
    (begun, ended, *_), (begins, ends, *_) = seen(one), seen(other)
    return begun < ends and begins < ended


def test_a_run_comes_after_what_it_needs(tmp_path):
    first = scripted(tmp_path, "first", seconds=0.4)
    second = scripted(tmp_path, "second", needs=("first",))
    third = scripted(tmp_path, "third", needs=("first", "second"))
    other = scripted(tmp_path, "other", seconds=0.2)
    sweep = swept(first, second, third, other)
    assert sorted(sweep.done) == ["first", "other", "second", "third"]
    assert seen(first)[1] <= seen(second)[0] <= seen(second)[1] <= seen(third)[0]
    assert overlap(first, other)


def test_no_two_jobs_hold_a_device(tmp_path, two_devices):
    jobs = [scripted(tmp_path, f"job{n}", seconds=0.2) for n in range(6)]
    swept(*jobs, pool=LocalPool())
    for one, other in combinations(jobs, 2):
        assert seen(one)[2] != seen(other)[2] or not overlap(one, other)
    assert {seen(job)[2] for job in jobs} == {"4", "7"}
    assert any(overlap(one, other) for one, other in combinations(jobs, 2))


def test_small_jobs_share_a_device_and_large_ones_have_several(tmp_path, two_devices):
    small = [scripted(tmp_path, f"small{n}", seconds=0.5) for n in range(4)]
    large = scripted(tmp_path, "large", devices=2, seconds=0.1)
    swept(*small, large, pool=LocalPool(per_device=2))
    assert all(overlap(one, other) for one, other in combinations(small, 2))
    assert sorted(seen(job)[2] for job in small) == ["4", "4", "7", "7"]
    assert sorted(seen(large)[2].split(",")) == ["4", "7"]
    assert not any(overlap(large, job) for job in small)


def test_more_devices_than_there_are_is_told_at_once(tmp_path, two_devices):
    with pytest.raises(ValueError, match=r"trainer\.devices=3, but this machine has 2"):
        swept(scripted(tmp_path, "job"), scripted(tmp_path, "large", devices=3), pool=LocalPool())
    assert not (tmp_path / "job").exists()


@pytest.mark.parametrize("visible", ["", "-1"])
def test_hidden_devices_are_not_used(monkeypatch, visible):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices() == []


def test_threads_are_shared_out(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    job, alone = scripted(tmp_path, "job"), scripted(tmp_path, "alone")
    swept(job, pool=LocalPool(at_once=2))
    assert seen(job)[3] == "4"
    swept(alone, pool=LocalPool())
    assert seen(alone)[3] is None


def test_a_failure_takes_only_what_needs_it(tmp_path, capsys):
    jobs = [
        scripted(tmp_path, "raises", ending="raise"),
        scripted(tmp_path, "killed", ending="kill"),
        scripted(tmp_path, "empty", ending="nothing"),
        scripted(tmp_path, "above", needs=("killed",)),
        scripted(tmp_path, "higher", needs=("above",)),
        scripted(tmp_path, "healthy", seconds=0.3),
    ]
    sweep = swept(*jobs)
    assert sweep.done == ["healthy"]
    assert sweep.failed == {
        "raises": "exit code 1",
        "killed": "killed by signal 9",
        "empty": "ended without a result",
        "above": "not started: killed failed",
        "higher": "not started: above failed",
    }
    assert [tries(job) for job in jobs] == [1, 1, 1, 0, 0, 1]
    said = capsys.readouterr().out
    assert "failed    raises (exit code 1): RuntimeError: so it goes" in said
    assert "done      healthy  val/accuracy 0.5000, 1.0 s" in said


def test_what_failed_in_training_is_tried_again(tmp_path):
    once, never, wrong = (scripted(tmp_path, ending, ending=ending) for ending in ("once", "raise", "wrong"))
    sweep = swept(once, never, wrong, scripted(tmp_path, "above", needs=("once",)), retries=2)
    assert sweep.done == ["once", "above"]
    assert [tries(job) for job in (once, never, wrong)] == [2, 3, 1]  # a wrong command stays wrong


def test_a_job_that_finds_its_run_taken_waits_its_turn(tmp_path):
    """Between a look at the lock and the job's own, another sweep may have begun the run."""
    job = scripted(tmp_path, "taken", ending="busy")
    sweep = swept(job, scripted(tmp_path, "above", needs=("taken",)))
    assert (sweep.done, sweep.failed) == (["taken", "above"], {})
    assert tries(job) == 2


def test_the_same_sweep_again_trains_what_is_missing(tmp_path):
    once, other = scripted(tmp_path, "once", ending="once"), scripted(tmp_path, "other")
    assert swept(once, other).failed
    assert not swept(once, other).failed
    assert (tries(once), tries(other)) == (2, 1)


def test_a_run_of_another_sweep_is_left_to_it(tmp_path):
    mine, theirs, above = (scripted(tmp_path, name) for name in ("mine", "theirs", "above"))
    sweep = Sweep(LocalPool())
    sweep.add(graph_of(theirs, mine, scripted(tmp_path, "above", needs=("theirs",))))
    with theirs.run.lock():
        while "mine" not in sweep.done:
            sweep.turn(0.1)
        assert "theirs" in sweep.waiting
        subprocess.run(theirs.command(), check=True)
    while sweep.unfinished:
        sweep.turn(0.1)
    assert sorted(sweep.done) == ["above", "mine", "theirs"]
    assert tries(theirs) == tries(above) == 1


HEAD = """
import sys, pathlib
from runs.errors import sentences
from runs.local_pool import LocalPool
from runs.sweep import Sweep
from tests.runs.pools import graph_of, scripted
root = pathlib.Path(sys.argv[1])
with sentences():
    Sweep(LocalPool(at_once=2)).run(graph_of(scripted(root, "one", seconds=60), scripted(root, "two", seconds=60)))
"""


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_jobs_end_with_their_sweep(tmp_path, interruptible, ending):
    process = subprocess.Popen([sys.executable, "-c", HEAD, str(tmp_path)], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while len(jobs := [file.read_text() for file in tmp_path.glob("*.pid")]) < 2 or "" in jobs:
        time.sleep(0.05)
    process.send_signal(ending)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == (-9 if ending == signal.SIGKILL else 130)
    assert ending == signal.SIGKILL or errors.strip() == "interrupted: the same command goes on"
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{job}").exists() for job in jobs) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{job}").exists() for job in jobs)


def test_status(tmp_path, capsys):
    jobs = graph_of(
        scripted(tmp_path, "there"), scripted(tmp_path, "broken", ending="raise"), scripted(tmp_path, "missing")
    )
    for job in jobs.values():
        job.run.config.steps = 30
    note(str(tmp_path), jobs, {})
    swept(jobs["there"])
    folder = jobs["broken"].run.folder
    folder.mkdir()
    (folder / "result.json").write_text('{"status": "failed", "error": "RuntimeError: so it goes\\n more"}')
    busy = jobs["missing"].run
    busy.folder.mkdir()
    (busy.folder / "metrics.csv").write_text("step,metric,value\n7,val/loss,1.0\n")
    with busy.lock():
        _, counts, *lines = status(tmp_path).splitlines()
    assert counts == "  1 done, 1 running, 1 failed, about 1 s of training left"
    assert lines == ["  running  missing  step 7 of 30", "  failed   broken  RuntimeError: so it goes"]
    assert status(tmp_path).splitlines()[1:] == ["  1 done, 1 waiting, 1 failed", lines[1]]
    note(str(tmp_path), jobs, {"missing": "killed by signal 9"})
    assert status(tmp_path).splitlines()[-1] == "  failed   missing  killed by signal 9"


@pytest.mark.parametrize("begun", ["", "step,metric,value\n"])
def test_status_of_a_run_that_has_just_begun(tmp_path, begun):
    job = scripted(tmp_path, "new")
    job.run.config.steps = 30
    note(str(tmp_path), graph_of(job), {})
    job.run.folder.mkdir()
    (job.run.folder / "metrics.csv").write_text(begun)
    with job.run.lock():
        assert status(tmp_path).splitlines()[2:] == ["  running  new  step 0 of 30"]


def test_status_of_nothing(tmp_path):
    with pytest.raises(ValueError, match="has no sweeps"):
        status(tmp_path)


@pytest.mark.parametrize(("seconds", "words"), [(40, "40 s"), (720, "12 min"), (12600, "3.5 h")])
def test_durations(seconds, words):
    assert duration(seconds) == words
