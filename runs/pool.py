"""Where the jobs of a sweep run: processes of this machine, tasks of a cluster, ..."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

from runs.graph import Job


@final
@dataclass(frozen=True)
class Ending:
    """How the process of a job ended.

    Attributes:
        code: its exit code, or minus the signal that killed it.
        lost: why nothing is known of it, as when its machine is gone.
        skipped: whether it has not been started, because a run that it needs failed.
    """

    code: int = 0
    lost: str = ""
    skipped: bool = False

    def __str__(self) -> str:
        if self.lost:
            return self.lost
        return f"killed by signal {-self.code}" if self.code < 0 else f"exit code {self.code}"


class Pool(ABC):
    """Runs jobs, as many at once as there is room for."""

    ordered = False  # whether it starts a job by itself once those that it needs have ended

    @property
    @abstractmethod
    def capacity(self) -> int | None:
        """How many jobs of one accelerator it runs at once, if it knows."""

    @abstractmethod
    def fit(self, job: Job) -> None:
        """Raises ValueError if there will never be room for a job."""

    @abstractmethod
    def room(self, job: Job) -> bool:
        """Whether a job can be started now."""

    @abstractmethod
    def start(self, job: Job) -> None:
        """Starts a job; where the pool is ordered, once those of `job.needs` that were started before have ended."""

    @abstractmethod
    def ended(self, seconds: float) -> list[tuple[str, Ending]]:
        """Waits until a job ends, or so long, and returns ids and endings of those that have ended since."""

    @abstractmethod
    def stop(self) -> None:
        """Interrupts all jobs and waits for them to end; they can be resumed."""
