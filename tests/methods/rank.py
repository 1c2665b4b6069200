"""One of two gloo ranks: trains methods for a dozen steps and writes what each ends with.

    python -m tests.methods.rank <rank> <port> <folder> <stage>:<method>[,<override>...]...

`folder/dense` holds the run that lottery tickets look at. The stages: `whole` trains to the end, `broken` is stopped at
step 7, `mended` goes on from there, in another process. The results of the first
are in `folder/whole/<method>[,<override>...]`, those of the last in `folder/resumed/`.
"""

import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

from tests.conftest import ROOT, SMALL, composed, of_method
from tests.methods.building import parts, takes_ticket


def two_ranks(folder: Path, *trainings: str) -> None:
    """Runs this file as two processes and waits for them, long enough for a machine that has a tenth of the speed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "tests.methods.rank"]
    ranks = []
    deadline = monotonic() + 120 + 5 * len(trainings)
    try:
        for rank in "01":
            with (folder / f"rank{rank}.log").open("w") as log:  # which no process waits to see read, as with a pipe
                arguments = [*command, rank, port, str(folder), *trainings]
                ranks.append(subprocess.Popen(arguments, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT))
        for rank in ranks:
            rank.wait(max(1.0, deadline - monotonic()))
    finally:
        for rank in ranks:
            rank.kill()
    logs = [(folder / f"rank{rank}.log").read_text() for rank in "01"]
    assert [rank.returncode for rank in ranks] == [0, 0], logs


class Stopped(BaseException):
    """Stands for a kill of both ranks."""


class Stop(Callback):
    """Stops a training in its middle, between two saves of its state."""

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == 7:
            raise Stopped


def main(rank: str, port: str, folder: Path, trainings: list[str]) -> None:
    environment = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "NODE_RANK": "0",
        "LOCAL_RANK": rank,
        "WORLD_SIZE": "2",
    }
    os.environ |= environment
    torch.set_num_threads(1)
    for stage, training in (argument.split(":", 1) for argument in trainings):
        method, *more = training.split(",")
        # Every rank drops out in its own way, so that they equal one process without dropout only.
        ranks = ["model.dropout=0.0", "trainer.devices=2", "+trainer.strategy=ddp"]
        config = composed(*SMALL, *of_method(method), *more, *ranks)
        ticket = folder / "dense" / "checkpoints" / "last.ckpt" if takes_ticket(config) else None
        run = parts(config, ticket=ticket)
        place = folder / ("whole" if stage == "whole" else "resumed") / training
        if stage == "broken":
            with suppress(Stopped):
                run.fit(place, Stop(), checkpoint_every=0)
        else:
            run.fit(place, resume=place / "checkpoints" / "last.ckpt" if stage == "mended" else None)
            torch.save({"weights": run.weights, "masks": run.sparsifier.masks}, place / f"{rank}.pt")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
