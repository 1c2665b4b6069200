"""One of two gloo ranks: trains every method for a dozen steps and writes what it ends with.

    python -m tests.methods.rank <rank> <port> <folder>

`folder/dense` holds the run that lottery tickets look at.
"""

import os
import sys
from pathlib import Path

import torch

from tests.conftest import METHODS, SMALL, composed, of_method
from tests.methods.building import parts


def main(rank: str, port: str, folder: Path) -> None:
    environment = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "NODE_RANK": "0",
        "LOCAL_RANK": rank,
        "WORLD_SIZE": "2",
    }
    os.environ |= environment
    torch.set_num_threads(1)
    for method in METHODS:
        config = composed(*SMALL, *of_method(method), "trainer.devices=2", "+trainer.strategy=ddp")
        run = parts(config, ticket=folder / "dense" / "checkpoints" / "last.ckpt" if method == "lth" else None)
        run.fit(folder / method)
        torch.save({"weights": run.weights, "masks": run.sparsifier.masks}, folder / f"{method}.{rank}.pt")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
