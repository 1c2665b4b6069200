"""The launcher of Slurm, through submitit: a job is handed over to the cluster when what it needs is there."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

from hydra_plugins.launching import SweepLauncher
from runs.graph import Job
from runs.pool import Ending, Pool
from runs.process import GRACE, JOB, begin, end

TICK = 0.5  # seconds between two looks at the jobs


@final
class Slurm(SweepLauncher):
    """Runs jobs on a Slurm cluster.

    Args:
        cluster: slurm, or local for processes of this machine, to try it out.
        parameters: of the jobs, by submitit's names: timeout_min, mem_gb, cpus_per_task, slurm_partition, ...
        at_once: most jobs that are handed over at once; null = all.
        retries, dry_run: see `SweepLauncher`.
    """

    def __init__(
        self,
        parameters: Mapping[str, Any],
        cluster: str = "slurm",
        at_once: int | None = None,
        retries: int = 0,
        dry_run: bool = False,
    ) -> None:
        super().__init__(retries, dry_run)
        self.parameters = parameters
        self.cluster = cluster
        self.at_once = at_once

    def pool(self) -> Pool:
        folder = Path(self.config.root).resolve() / ".sweep" / "submitit"
        return SlurmPool(folder, self.parameters, self.cluster, self.at_once)


@final
class SlurmPool(Pool):
    """Hands jobs over to Slurm. The root has to be on a disk that its nodes see.

    Args:
        folder: of submitit's own files.
        parameters, cluster, at_once: see `Slurm`.

    Raises:
        ValueError: submitit is not installed, there is no Slurm, or it does not have such a parameter.
    """

    def __init__(
        self, folder: Path, parameters: Mapping[str, Any], cluster: str = "slurm", at_once: int | None = None
    ) -> None:
        try:
            import submitit
        except ImportError:
            raise ValueError("hydra/launcher=slurm needs submitit: pip install 'lacuna[slurm]'") from None
        try:
            self._executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
            self._executor.update_parameters(name="lacuna", **parameters)
        except (RuntimeError, TypeError, ValueError, NameError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(
                f"hydra.launcher: submitit refuses cluster={cluster} with its parameters ({reason})"
            ) from None
        self.at_once = at_once
        self._ranks = cluster == "slurm"  # whether the cluster starts a process for each accelerator
        self._running: dict[str, Any] = {}

    @property
    def capacity(self) -> int | None:
        return self.at_once

    def fit(self, job: Job) -> None:
        """Slurm itself refuses what it will never have."""

    def room(self, job: Job) -> bool:
        return self.at_once is None or len(self._running) < self.at_once

    def start(self, job: Job) -> None:
        if self._ranks:
            nodes = int(job.run.config.trainer.get("num_nodes", 1))
            each = max(1, job.devices)
            self._executor.update_parameters(nodes=nodes, tasks_per_node=each, gpus_per_node=job.devices)
        task = Task(os.getcwd(), job.command(), job.run.log)
        self._running[job.run.id] = self._executor.submit(task)

    def ended(self, seconds: float) -> list[tuple[str, Ending]]:
        deadline = time.monotonic() + seconds
        while not (over := [name for name, job in self._running.items() if job.done()]) and time.monotonic() < deadline:
            time.sleep(TICK)
        return [(name, _ending(self._running.pop(name))) for name in over]

    def stop(self) -> None:
        for job in self._running.values():
            job.cancel(check=False)
        deadline = time.monotonic() + GRACE
        while any(not job.done(force_check=True) for job in self._running.values()) and time.monotonic() < deadline:
            time.sleep(TICK)
        self._running.clear()


@final
class Task:
    """What Slurm runs: a job's process, which goes on where it was if it comes to the end of its time or gives way."""

    def __init__(self, place: str, command: Sequence[str], log: Path) -> None:
        self.place, self.command, self.log = place, command, log

    def __call__(self) -> int:
        import submitit

        os.chdir(self.place)
        rank = submitit.JobEnvironment().global_rank
        log = self.log if rank == 0 else self.log.with_suffix(f".{rank}.log")
        process = begin(self.command, log, {JOB: "1"})
        try:
            return process.wait()
        finally:
            end([process])

    def checkpoint(self) -> Any:
        """The same again: the run resumes by itself."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def _ending(job: Any) -> Ending:
    try:
        codes = job.results()
    except Exception as error:  # whatever happened on the other machine
        return Ending(lost=f"lost by the cluster, {' '.join(str(error).split())[:200]}")
    return Ending(next((code for code in codes if code), 0))
