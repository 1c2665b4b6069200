"""The launcher of a Ray cluster: every job is a task, whose arguments are the tasks of the runs that it needs."""

import logging
import os
import signal
import socket
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

from hydra_plugins.launching import SweepLauncher
from runs.graph import PROGRAM, Job
from runs.parcel import pack, unpack
from runs.pool import Ending, Pool
from runs.process import GRACE, JOB, begin, end

TICK = 0.1  # seconds between two looks

Outcome = tuple[Ending, bytes]  # how a job ended, and its folder where that has to travel


@final
class Ray(SweepLauncher):
    """Runs jobs as tasks of Ray, on this machine or a cluster, as many at once as its accelerators and cores allow.

    Args:
        address: of a running cluster, such as auto or host:6379; null = one on this machine, for the sweep alone.
        per_device: jobs that share an accelerator.
        cpus: cores of a job.
        retries, dry_run: see `SweepLauncher`.
    """

    def __init__(
        self, address: str | None = None, per_device: int = 1, cpus: int = 1, retries: int = 0, dry_run: bool = False
    ) -> None:
        super().__init__(retries, dry_run)
        self.address = address
        self.per_device = per_device
        self.cpus = cpus

    def pool(self) -> "RayPool":
        return RayPool(self.address, self.per_device, self.cpus)


@final
class RayPool(Pool):
    """Hands jobs over to Ray all at once; it starts them when what they need is there and a node has room.

    Where not all nodes see the root that results go to, run folders travel with the tasks.

    Args:
        address, per_device, cpus: see `Ray`.

    Raises:
        ValueError: Ray is not installed, there is no cluster at the address, or a number is below 1.
    """

    ordered = True

    def __init__(self, address: str | None = None, per_device: int = 1, cpus: int = 1) -> None:
        for key, value in {"per_device": per_device, "cpus": cpus}.items():
            if value < 1:
                raise ValueError(f"hydra.launcher.{key}={value} must be at least 1")
        self.ray = _connected(address)
        self.per_device, self.cpus = per_device, cpus
        self.nodes = [node for node in self.ray.nodes() if node["Alive"]]
        self.devices, self.cores = (self._most(resource) for resource in ("GPU", "CPU"))
        self._shared: dict[str, bool] = {}
        self._jobs: dict[str, Job] = {}
        self._tasks: dict[str, Any] = {}  # the latest of each job
        self._running: set[str] = set()

    @property
    def capacity(self) -> int:
        have = [node["Resources"] for node in self.nodes]
        slots = [int(each.get("GPU", 0)) * self.per_device for each in have]
        return sum(slots) or sum(int(each.get("CPU", 0)) // self.cpus for each in have)

    def fit(self, job: Job) -> None:
        if job.devices > self.devices > 0:
            raise ValueError(f"trainer.devices={job.devices}, but no node of the cluster has more than {self.devices}")
        if self.cpus > self.cores:
            raise ValueError(f"hydra.launcher.cpus={self.cpus}, but no node of the cluster has more than {self.cores}")

    def room(self, job: Job) -> bool:
        return True

    def start(self, job: Job) -> None:
        root = Path(job.run.config.root)
        command = job.command()
        carried = None if self._sees(root) else job.file.read_text()
        there = [name for name in job.needs if name not in self._running]  # whoever trained them
        needs = [self._tasks[name] for name in job.needs if name in self._running]
        needs += [(Ending(), pack(root / name) if carried else b"") for name in there]
        # Whether a job is tried again is the sweep's business.
        task = self.ray.remote(execute).options(max_retries=0, num_cpus=self.cpus, num_gpus=self.share(job))
        self._jobs[job.run.id] = job
        self._tasks[job.run.id] = task.remote(os.getcwd(), command, job.file, job.run.log, root, carried, *needs)
        self._running.add(job.run.id)

    def ended(self, seconds: float) -> list[tuple[str, Ending]]:
        names = {self._tasks[name]: name for name in self._running}
        if not names:
            time.sleep(seconds)
            return []
        ready, _ = self.ray.wait(list(names), timeout=seconds)
        self._running -= {names[task] for task in ready}
        return [(names[task], self._ending(names[task])) for task in ready]

    def stop(self) -> None:
        for name in self._running:
            self.ray.cancel(self._tasks[name], force=True)
        deadline = time.monotonic() + GRACE
        while any(self._jobs[name].run.locked for name in self._running) and time.monotonic() < deadline:
            time.sleep(TICK)
        self.ray.shutdown()

    def share(self, job: Job) -> float:
        """Accelerators of a job, or the part of one."""
        wanted = job.devices if self.devices else 0
        return 1 / self.per_device if wanted == 1 else wanted

    def _most(self, resource: str) -> int:
        """What a node has of something, at most: a job is not spread over nodes."""
        return int(max(node["Resources"].get(resource, 0) for node in self.nodes))

    def _ending(self, name: str) -> Ending:
        try:
            ending, parcel = self.ray.get(self._tasks[name])
        except self.ray.exceptions.RayError as error:
            if any(self._broken(below) for below in self._jobs[name].needs):
                return Ending(skipped=True)
            return Ending(lost=f"lost with its worker or node, {type(error).__name__}")
        unpack(parcel, Path(self._jobs[name].run.config.root))
        return ending  # type: ignore[no-any-return]

    def _broken(self, name: str) -> bool:
        try:
            if name in self._tasks:
                self.ray.get(self._tasks[name], timeout=0)
        except self.ray.exceptions.RayError:
            return True
        return False

    def _sees(self, root: Path) -> bool:
        """Whether all nodes see a folder of this machine."""
        if str(root) not in self._shared:
            token = root.resolve() / ".sweep" / f"token-{uuid.uuid4().hex}"
            token.parent.mkdir(parents=True, exist_ok=True)
            token.touch()
            strategy = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
            probes = [
                self.ray.remote(token.__class__.exists)
                .options(num_cpus=0, scheduling_strategy=strategy(node["NodeID"], soft=True))
                .remote(token)
                for node in self.nodes
            ]
            self._shared[str(root)] = all(self.ray.get(probes))
            token.unlink()
        return self._shared[str(root)]


def execute(
    place: str, command: Sequence[str], file: Path, log: Path, root: Path, carried: str | None, *needs: Outcome
) -> Outcome:
    """Runs a job on a node.

    Args:
        place: working directory, if the node has it.
        file, log: of the job.
        carried: the job's file, where the node does not see the root; then its folder is returned as well.
        needs: what became of the runs that it needs.
    """
    if any(ending != Ending() for ending, _ in needs):
        return Ending(skipped=True), b""
    os.chdir(place if Path(place).is_dir() else PROGRAM.parent)
    if carried is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(carried)
        for _, parcel in needs:
            unpack(parcel, root)
    process = begin(command, log, {JOB: "1"})
    try:
        while process.poll() is None:
            time.sleep(TICK)
    finally:
        end([process])
    return Ending(process.returncode), b"" if carried is None else pack(root / file.stem)


def _connected(address: str | None) -> Any:
    try:
        import ray
        import ray.util.scheduling_strategies
    except ImportError:
        raise ValueError("hydra/launcher=ray needs Ray: pip install 'lacuna[ray]'") from None
    interruption = signal.getsignal(signal.SIGTERM)
    try:
        _reachable(address)
        ray.init(
            address or "local",
            runtime_env={"env_vars": {"PYTHONPATH": str(PROGRAM.parent)}},
            include_dashboard=False if address is None else None,
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"hydra.launcher.address={address} is no cluster of Ray ({reason})") from None
    finally:
        signal.signal(signal.SIGTERM, interruption)  # Ray puts its own in place
    return ray


def _reachable(address: str | None) -> None:
    """Raises OSError if nothing listens at host:port, where Ray would wait for minutes."""
    host, colon, port = (address or "").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=5).close()
