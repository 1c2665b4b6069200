"""Sweeps through submitit, whose local executor stands for a cluster."""

import pytest

from hydra_plugins.slurm import SlurmPool
from runs.sweep import Sweep
from tests.runs.pools import graph_of, scripted, seen, tries

MINUTES = {"timeout_min": 5}


def test_a_sweep(tmp_path):
    one, above = scripted(tmp_path, "one", seconds=0.2), scripted(tmp_path, "above", needs=("one",))
    bad, higher = scripted(tmp_path, "bad", ending="kill"), scripted(tmp_path, "higher", needs=("bad",))
    once = scripted(tmp_path, "once", ending="once")
    sweep = Sweep(SlurmPool(tmp_path / "submitit", MINUTES, "local"), retries=1)
    sweep.run(graph_of(one, above, bad, higher, once))
    assert sorted(sweep.done) == ["above", "once", "one"]
    assert sweep.failed == {"bad": "killed by signal 9", "higher": "not started: bad failed"}
    assert [tries(job) for job in (one, above, bad, higher, once)] == [1, 1, 2, 0, 2]
    assert seen(one)[1] <= seen(above)[0]


def test_no_more_at_once_than_asked_for(tmp_path):
    jobs = [scripted(tmp_path, f"job{n}", seconds=0.3) for n in range(3)]
    Sweep(SlurmPool(tmp_path / "submitit", MINUTES, "local", at_once=1)).run(graph_of(*jobs))
    times = sorted(seen(job)[:2] for job in jobs)
    assert times[0][1] <= times[1][0]
    assert times[1][1] <= times[2][0]


def test_jobs_are_cancelled_with_their_sweep(tmp_path, interruptible):
    job = scripted(tmp_path, "job", seconds=60)
    sweep = Sweep(SlurmPool(tmp_path / "submitit", MINUTES, "local"))
    sweep.add(graph_of(job))
    while not tries(job):
        sweep.turn(0.2)
    sweep.pool.stop()
    assert not job.run.finished


@pytest.mark.parametrize(
    ("cluster", "parameters", "reason"),
    [("local", {"minutes": 3}, "minutes"), ("slurm", {}, "srun"), ("cloud", {}, "cloud")],
)
def test_what_submitit_refuses_is_one_sentence(tmp_path, cluster, parameters, reason):
    with pytest.raises(ValueError, match=rf"hydra\.launcher: submitit refuses cluster={cluster} .*{reason}") as refusal:
        SlurmPool(tmp_path, parameters, cluster)
    assert "\n" not in str(refusal.value)
