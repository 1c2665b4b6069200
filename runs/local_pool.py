"""Jobs as processes of this machine, each with its share of the accelerators."""

import os
import subprocess
import time
from collections import Counter
from typing import final

from runs.graph import Job
from runs.pool import Ending, Pool
from runs.process import JOB, begin, end

POLL = 0.1  # seconds between two looks at the processes


@final
class LocalPool(Pool):
    """Starts a job when enough accelerators have room for it, which are then all that it sees.

    Args:
        per_device: jobs that share an accelerator.
        at_once: most jobs at once; None = as the accelerators allow, or one where there are none.

    Raises:
        ValueError: a number is below 1.
    """

    def __init__(self, per_device: int = 1, at_once: int | None = None) -> None:
        for key, value in {"per_device": per_device, "at_once": at_once}.items():
            if value is not None and value < 1:
                raise ValueError(f"hydra.launcher.{key}={value} must be at least 1")
        self.devices = devices()
        self.per_device = per_device
        self.at_once = at_once or max(1, len(self.devices) * per_device)
        self._running: dict[str, tuple[subprocess.Popen[bytes], list[str]]] = {}

    @property
    def capacity(self) -> int:
        return self.at_once

    def fit(self, job: Job) -> None:
        if self.devices and job.devices > len(self.devices):
            raise ValueError(f"trainer.devices={job.devices}, but this machine has {len(self.devices)}")

    def room(self, job: Job) -> bool:
        return len(self._running) < self.at_once and len(self._free()) >= self._wanted(job)

    def start(self, job: Job) -> None:
        given = self._free()[: self._wanted(job)]
        environment = {JOB: "1"} | ({"CUDA_VISIBLE_DEVICES": ",".join(given)} if given else {})
        if not given and self.at_once > 1 and "OMP_NUM_THREADS" not in os.environ:
            environment["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // self.at_once))
        self._running[job.run.id] = begin(job.command(), job.run.log, environment), given

    def ended(self, seconds: float) -> list[tuple[str, Ending]]:
        deadline = time.monotonic() + seconds
        while not (over := self._over()) and time.monotonic() < deadline:
            time.sleep(POLL)
        end([self._running.pop(name)[0] for name in over])
        return [(name, Ending(code)) for name, code in over.items()]

    def stop(self) -> None:
        end([process for process, _ in self._running.values()])
        self._running.clear()

    def _over(self) -> dict[str, int]:
        codes = {name: process.poll() for name, (process, _) in self._running.items()}
        return {name: code for name, code in codes.items() if code is not None}

    def _wanted(self, job: Job) -> int:
        return job.devices if self.devices else 0

    def _free(self) -> list[str]:
        """Accelerators with room for one more job, those with the most room first."""
        load = Counter(device for _, given in self._running.values() for device in given)
        return sorted((d for d in self.devices if load[d] < self.per_device), key=lambda device: load[device])


def devices() -> list[str]:
    """Accelerators that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return [str(number) for number, line in enumerate(line for line in listed.splitlines() if line.startswith("GPU"))]
