"""The processes that train a run together, one for each device: how many there are, and who starts them.

torchrun and srun start the same command once for each device, on all machines. Where nobody has, a command does it
itself, for the devices of its own machine. (torchrun would do, but for what it says of a failure and how it ends.)
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, final

from hydra.utils import instantiate

from runs.process import begin, end

# Which process this is, and of how many: as torchrun and `start` say it, and as srun does.
VARIABLES = (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"))
QUIET = {"TORCH_CPP_LOG_LEVEL": "ERROR"}  # of a process that is gone, torch would say more than anybody needs
POLL = 0.1  # seconds between two looks at the processes
PATIENCE = 5.0  # seconds in which processes find by themselves that one of them has ended


class Ranks(Protocol):
    """All processes of a command. They take the same way through the program; the first one writes and speaks."""

    @property
    def first(self) -> bool:
        """Whether this process is the one that holds locks, writes files and speaks."""

    def agree(self, decide: Callable[[], bool]) -> bool:
        """Returns what the first process decides, to all of them."""

    def end(self, code: int) -> int | None:
        """Tells that this process ends early, with an exit code; returns that of a process that did before it."""

    def part(self) -> None:
        """Ends well, together with the others."""


@final
class Alone:
    """One process and no other."""

    first = True

    def agree(self, decide: Callable[[], bool]) -> bool:
        return decide()

    def end(self, code: int) -> int | None:
        return None

    def part(self) -> None:
        pass


def company() -> Ranks:
    """Returns the processes that have been started with this one, connected."""
    if started() == 1:
        return Alone()
    os.environ.update(QUIET)
    together: Ranks = instantiate({"_target_": "callbacks.ranks.Together"})  # imports torch
    return together


def started() -> int:
    """How many processes of this command there are, as who started them says; 1 where nobody has."""
    for rank, count in VARIABLES:
        if rank in os.environ and int(os.environ.get(count, 1)) > 1:
            return int(os.environ[count])
    return 1


def start(trainer: Mapping[str, Any], unless: Callable[[], bool]) -> None:
    """Where a trainer has several devices and this command is one process, runs it as many and exits as they do.

    Args:
        unless: whether that is not needed.

    Raises:
        ValueError: other processes have been started than the trainer has devices.
    """
    devices, nodes, there = int(trainer["devices"]), int(trainer.get("num_nodes", 1)), started()
    if there > 1 and there != devices * nodes:
        raise ValueError(
            f"trainer.devices={devices} on trainer.num_nodes={nodes} does not make the {there} processes that have been"
            " started; give what torchrun or srun was given, or leave the start to this command"
        )
    if there == 1 and nodes > 1:
        raise ValueError(
            f"trainer.num_nodes={nodes} needs torchrun or srun to start this command on all machines;"
            " docs/distributed.md says how"
        )
    if there == 1 and devices > 1 and not unless():
        sys.exit(together(devices))


def together(count: int) -> int:
    """Runs the present command as so many processes and returns its exit code; if one ends badly, so do all.

    Raises:
        KeyboardInterrupt: they were interrupted before one of them could say so.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {**QUIET, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    shared["TORCHELASTIC_USE_AGENT_STORE"] = "False"  # which a torchrun of one process has left behind
    ranks: list[subprocess.Popen[bytes]] = []
    try:
        for rank in map(str, range(count)):
            ranks.append(begin([sys.executable, *sys.argv], None, {**shared, "RANK": rank, "LOCAL_RANK": rank}))
        while None in (codes := [process.poll() for process in ranks]) and not any(codes):
            time.sleep(POLL)
        deadline = time.monotonic() + PATIENCE
        while any(process.poll() is None for process in ranks) and time.monotonic() < deadline:
            time.sleep(POLL)
    except KeyboardInterrupt:
        end(ranks)
        if not any(process.returncode > 0 for process in ranks):
            raise
        codes = [process.returncode for process in ranks]
    finally:
        end(ranks)
    number, code = next(((number, code) for number, code in enumerate(codes) if code), (0, 0))
    if code < 0:
        print(f"process {number} of {count} was killed by signal {-code}", file=sys.stderr)
        return 128 - code  # as a shell says it
    return code
