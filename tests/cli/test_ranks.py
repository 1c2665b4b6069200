"""Two processes train a run together, whoever starts them: the command itself, a sweep, torchrun or srun."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest
import torch

import train as program
from tests.cli.program import injected, results, train, watched
from tests.conftest import ROOT, SMALL

DDP = [*SMALL[:-1], "trainer=ddp", "trainer.accelerator=cpu"]

pytestmark = pytest.mark.xdist_group("ranks")  # two processes are enough for two cores


def sabotaged(folder, rank, deed):
    """An environment in which a rank does something to itself at step 7."""
    return injected(
        folder,
        "import os, time\n"
        "import lightning.pytorch as pl\n"
        "def on_train_batch_end(self, *_):\n"
        f"    if self.trainer.global_rank == {rank} and self.trainer.global_step == 7: {deed}\n"
        "pl.LightningModule.on_train_batch_end = on_train_batch_end\n",
    )


def test_interrupted_ranks_go_on_to_the_bits_of_those_of_torchrun(tmp_path):
    """With dropout, for which every rank has random numbers of its own."""
    arguments = [*DDP, "method=magnitude_after", "sparsity=0.5", "model.dropout=0.1", "checkpoint_every=0"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command = [*torchrun, "train.py", *arguments, f"root={tmp_path / 'whole'}"]
    whole = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert whole.stdout.count("examples/s") == 1
    assert train(*arguments, folder=tmp_path / "whole").stdout == whole.stdout
    ends = [
        (0, "os.kill(os.getppid(), 15), time.sleep(60)", 130, []),  # in the dense run
        (1, "os.kill(os.getpid(), 9)", 128 + signal.SIGKILL, ["process 1 of 2 was killed by signal 9"]),  # in the other
    ]
    for rank, deed, code, more in ends:
        ended = sabotaged(tmp_path / f"deed{rank}", rank, deed)
        done = train(*arguments, folder=tmp_path / "broken", check=False, environment=ended)
        assert done.returncode == code
        assert done.stderr.splitlines() == ["interrupted: the same command goes on", *more]
        assert len(results(tmp_path / "broken")) == rank
    resumed = train(*arguments, folder=tmp_path / "broken", environment=watched(tmp_path / "watch"))
    assert resumed.stdout.count("begins at 7") == 2
    one, other = results(tmp_path / "whole"), results(tmp_path / "broken")
    assert len(one) == 2
    for name in one:
        for key in ("metrics", "flops", "sparsity"):
            assert one[name][key] == other[name][key]
        runs = [tmp_path / folder / name for folder in ("whole", "broken")]
        states = [torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in runs]
        for weight in states[0]["state_dict"]:
            assert torch.equal(states[0]["state_dict"][weight], states[1]["state_dict"][weight])
        ranks = [state["torch"] for state in states[0]["callbacks"]["LastCheckpoint"]["random"]]
        assert len(ranks) == 2
        assert not torch.equal(*ranks)
        assert (runs[0] / "predictions" / "val.jsonl").read_text() == (
            runs[1] / "predictions" / "val.jsonl"
        ).read_text()


def test_a_sweep_of_two_ranks_each_is_one_of_one_process_up_to_rounding(small, tmp_path):
    done = train("-m", *DDP, "method=lth", "sparsity=0.2", folder=tmp_path / "two")
    assert "2 of 2 runs completed" in done.stdout
    run = program.obtain(small("method=lth", "sparsity=0.2"))
    there = tmp_path / "two" / run.id
    assert results(tmp_path / "two")[run.id]["metrics"] == pytest.approx(run.result["metrics"], abs=1e-5)
    for split in ("val", "test"):
        mine, theirs = (rows(folder / "predictions" / f"{split}.jsonl") for folder in (run.folder, there))
        assert [row["id"] for row in mine] == [row["id"] for row in theirs]
        for one, other in zip(mine, theirs, strict=True):
            assert one["scores"] == pytest.approx(other["scores"], abs=1e-5)
    logged = [line.split(",")[:2] for line in (there / "metrics.csv").read_text().splitlines()]
    assert logged == [line.split(",")[:2] for line in (run.folder / "metrics.csv").read_text().splitlines()]


def rows(path):
    """The lines of a file of predictions, scores less their mean: the bias that all choices share is but rounding."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    for row in found:
        row["scores"] = [score - sum(row["scores"]) / len(row["scores"]) for score in row["scores"]]
    return found


def test_a_rank_that_fails_under_slurm_ends_all_and_says_why(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    slurm = {"SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "1"}
    slurm |= {"SLURM_NODELIST": "localhost", "SLURM_NODEID": "0", "SLURM_JOB_ID": "1", "MASTER_PORT": port}
    slurm |= sabotaged(tmp_path / "sabotage", 1, "raise MemoryError('no room')")
    command = [sys.executable, "train.py", *DDP, f"root={tmp_path}"]
    ranks = []
    for rank in "01":
        environment = {**os.environ, **slurm, "SLURM_PROCID": rank, "SLURM_LOCALID": rank}
        ranks.append(subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=environment))
    errors = [rank.communicate()[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [1, 1]
    assert errors[0] == ""
    assert errors[1].splitlines()[-1].endswith("failed: MemoryError: no room")
    (result,) = results(tmp_path).values()
    assert (result["status"], result["error"]) == ("failed", "MemoryError: no room")
