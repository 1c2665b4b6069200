"""Sweeps on Ray: accelerators that are none but are counted as such, nodes that are processes of this machine."""

import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

from hydra_plugins.ray_cluster import RayPool, execute
from runs.local_pool import LocalPool
from runs.parcel import pack, unpack
from runs.pool import Ending
from runs.sweep import Sweep
from tests.runs.pools import graph_of, scripted, seen, tries

pytestmark = pytest.mark.xdist_group("ray")


@pytest.fixture(scope="module")
def cluster():
    """A node with two accelerators and one with one."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 4, "num_gpus": 2, "include_dashboard": False})
    yield cluster
    cluster.shutdown()


def overlap(one, other):
    (begun, ended, *_), (begins, ends, *_) = seen(one), seen(other)
    return begun < ends and begins < ended


def test_no_two_jobs_hold_a_slot_and_failures_stay_alone(tmp_path, cluster):
    jobs = [scripted(tmp_path, f"job{n}", seconds=0.3) for n in range(5)]
    jobs += [scripted(tmp_path, "dense", seconds=0.3), scripted(tmp_path, "after", needs=("dense",))]
    bad = [scripted(tmp_path, "killed", ending="kill"), scripted(tmp_path, "above", needs=("killed",))]
    large, once = scripted(tmp_path, "large", devices=2), scripted(tmp_path, "once", ending="once")
    sweep = Sweep(RayPool(cluster.address), retries=1)
    sweep.run(graph_of(*jobs, *bad, large, once))
    assert sorted(sweep.done) == sorted(job.run.id for job in [*jobs, large, once])
    assert sweep.failed == {"killed": "killed by signal 9", "above": "not started: killed failed"}
    assert seen(jobs[5])[1] <= seen(jobs[6])[0]
    assert [tries(job) for job in (*jobs, *bad, large, once)] == [1] * 7 + [2, 0] + [1, 2]
    assert {seen(job)[2] for job in jobs} == {"0", "1"}
    assert sorted(seen(large)[2].split(",")) == ["0", "1"]
    for one, other in combinations([*jobs, large], 2):
        assert not set(seen(one)[2].split(",")) & set(seen(other)[2].split(",")) or not overlap(one, other)


def test_jobs_of_a_node_that_is_lost_run_on_another(tmp_path, cluster):
    node = cluster.add_node(num_cpus=4, num_gpus=2)
    jobs = [scripted(tmp_path, f"job{n}", seconds=3.0) for n in range(4)]
    sweep = Sweep(RayPool(cluster.address))
    assert len(sweep.pool.nodes) == 2
    sweep.add(graph_of(*jobs, scripted(tmp_path, "above", needs=("job0", "job3"))))
    try:
        while len(list(tmp_path.glob("*.pid"))) < 4:
            sweep.turn(0.2)
        cluster.remove_node(node, allow_graceful=False)
        while sweep.unfinished:
            sweep.turn(0.2)
    finally:
        sweep.pool.stop()
    assert sorted(sweep.done) == ["above", "job0", "job1", "job2", "job3"]
    assert not sweep.failed
    assert sorted(tries(job) for job in jobs) == [1, 1, 2, 2]


def test_a_need_that_another_sweep_has_trained_since_it_failed_here(tmp_path, cluster):
    """Its task is of the failure, and a job that got it as an argument would be skipped, again and again."""
    dense, above = scripted(tmp_path, "dense", ending="raise"), scripted(tmp_path, "above", needs=("dense",))
    pool = RayPool(cluster.address)
    try:
        pool.start(dense)
        assert pool.ended(60.0) == [("dense", Ending(1))]
        subprocess.run(scripted(tmp_path, "dense").command(), check=True)
        pool.start(above)
        assert pool.ended(60.0) == [("above", Ending())]
    finally:
        pool.stop()


def test_what_no_node_has_is_an_error_and_no_wait(tmp_path, cluster):
    pool = RayPool(cluster.address)
    try:
        with pytest.raises(ValueError, match=r"trainer\.devices=3, but no node of the cluster has more than 2"):
            pool.fit(scripted(tmp_path, "large", devices=3))
        pool.cpus = 64
        with pytest.raises(ValueError, match=r"hydra\.launcher\.cpus=64, but no node of the cluster has more than 4"):
            pool.fit(scripted(tmp_path, "job"))
    finally:
        pool.stop()


def test_an_address_without_a_cluster_is_named():
    with pytest.raises(ValueError, match=r"hydra\.launcher\.address=127.0.0.1:9 is no cluster of Ray"):
        RayPool("127.0.0.1:9")


def test_folders_travel_where_a_node_does_not_see_the_root(tmp_path, monkeypatch):
    """A node with a disk of its own gets what a job needs, and gives back what it came to."""
    monkeypatch.chdir(os.getcwd())
    here, node = tmp_path / "here", tmp_path / "node"
    here.mkdir()
    (need, job), need_there = (scripted(here, name) for name in ("need", "job")), scripted(node, "need")
    node.mkdir()
    place, log = os.getcwd(), node / "log"
    ending, parcel = execute(place, need_there.command(), node / "jobs" / "need.yaml", log, node, "a: 1")
    assert (ending, (node / "jobs" / "need.yaml").read_text()) == (Ending(), "a: 1")
    unpack(parcel, here)
    assert need.run.finished
    another = tmp_path / "another"
    another.mkdir()
    look = [sys.executable, "-c", f"assert open({str(another / 'need' / 'result.json')!r}).read()"]
    ending, _ = execute(place, look, another / "job.yaml", log, another, "a: 1", (Ending(), pack(here / "need")))
    assert ending == Ending()
    ending, parcel = execute(place, look, another / "job.yaml", log, another, "a: 1", (Ending(1), b""))
    assert (ending.skipped, parcel) == (True, b"")
    assert not job.run.finished


def test_a_completed_folder_is_not_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    there, other = scripted(tmp_path / "there", "job"), scripted(tmp_path / "other", "job")
    for job, text in ((there, "mine"), (other, "theirs")):
        job.run.folder.mkdir(parents=True)
        (job.run.folder / "model").write_text(text)
    unpack(pack(other.run.folder), Path(there.run.config.root))
    assert (there.run.folder / "model").read_text() == "theirs"
    Sweep(LocalPool()).run(graph_of(there))
    (other.run.folder / "model").write_text("again")
    unpack(pack(other.run.folder), Path(there.run.config.root))
    assert (there.run.folder / "model").read_text() == "theirs"
