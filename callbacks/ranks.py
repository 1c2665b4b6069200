"""The processes that train a run together, connected: what one of them decides, all do.

They talk through a small store beside the process group, which is there before it and waits for as long as it takes.
"""

import json
import logging
import os
import re
import signal
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from typing import final

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import distributed
from torch.distributed.rendezvous import rendezvous

MEETING = timedelta(minutes=15)  # for all processes to be there
FAREWELL = timedelta(minutes=1)
POLL = 0.1  # seconds between two looks


def environment() -> ClusterEnvironment:
    """Who started this process, and which one it is."""
    if int(os.environ.get("WORLD_SIZE", 1)) > 1 and "RANK" in os.environ:
        return TorchElasticEnvironment()
    if int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        return SLURMEnvironment(auto_requeue=False)  # runs resume by themselves
    return LightningEnvironment()


@final
class Together:
    """The processes of a command; `runs.ranks.Ranks` says what they have in common.

    Raises:
        RuntimeError: the others do not come.
    """

    def __init__(self) -> None:
        cluster = environment()
        os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = cluster.main_address, str(cluster.main_port)
        self.rank, self.count = cluster.global_rank(), cluster.world_size()
        self.first = self.rank == 0
        store, _, _ = next(rendezvous("env://", self.rank, self.count, timeout=MEETING))
        self._store = distributed.PrefixStore("lacuna", store)  # type: ignore[attr-defined]
        self._agreements = 0
        self._ended: list[int] | None = None
        if not self.first:  # all would say the same
            logging.disable(logging.WARNING)
            warnings.simplefilter("ignore")

    def agree(self, decide: Callable[[], bool]) -> bool:
        self._agreements += 1
        key = f"agreement {self._agreements}"
        if self.first:
            self._store.set(key, json.dumps(decision := decide()))
            return decision
        while not self._store.check([key]):
            time.sleep(POLL)  # and not within the store, where no signal is heard
        return bool(json.loads(self._store.get(key)))

    def end(self, code: int) -> int | None:
        if self._ended is None:
            try:
                self._ended = json.loads(self._store.compare_set("end", "", json.dumps([self.rank, code])))
            except RuntimeError:  # whoever kept the store has ended
                self._ended = [-1, 1]
        rank, first_code = self._ended
        return None if rank == self.rank else first_code

    def part(self) -> None:
        """Waits, where the store is kept, until nobody needs it any more."""
        if self.first:
            self._store.wait([f"leaves {rank}" for rank in range(1, self.count)], FAREWELL)
        else:
            self._store.set(f"leaves {self.rank}", "")


@final
class OwnSignals(Callback):
    """Leaves SIGTERM to the handler that was there: Lightning's would talk to the other ranks amid what they do."""

    def __init__(self) -> None:
        self._handler = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        signal.signal(signal.SIGTERM, self._handler)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        signal.signal(signal.SIGTERM, self._handler)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        signal.signal(signal.SIGTERM, self._handler)


def lost(error: BaseException) -> bool:
    """Whether an error says that another rank is gone."""
    if isinstance(error, distributed.DistError):
        return True
    return isinstance(error, RuntimeError) and bool(re.search(r"(closed|reset) by peer|Broken pipe", str(error)))
