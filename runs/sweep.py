"""The life of a sweep: what is missing is trained, each run once, and no failure takes another run with it."""

import sys
import time
from typing import final

from runs.errors import BUSY, ON_PURPOSE, WRONG
from runs.graph import Graph, Job
from runs.pool import Ending, Pool

LOSSES = 3  # how often a job is started anew whose machine is lost


class SweepError(RuntimeError):
    """Some runs of a sweep failed; the message names them."""


@final
class Sweep:
    """Trains jobs in a pool, in the order of their needs.

    Args:
        pool: where they run.
        retries: how often a job is tried again that failed in training.
    """

    def __init__(self, pool: Pool, retries: int = 0) -> None:
        self.pool = pool
        self.retries = retries
        self.waiting: dict[str, Job] = {}
        self.running: dict[str, Job] = {}
        self.done: list[str] = []
        self.failed: dict[str, str] = {}
        self._tries: dict[str, int] = {}
        self._losses: dict[str, int] = {}
        self._took: list[float] = []
        self._since: dict[str, float] = {}
        self._busy: set[str] = set()

    def add(self, jobs: Graph) -> None:
        """Takes jobs, those that others need before them.

        Raises:
            ValueError: the pool will never have room for one.
        """
        for job in jobs.values():
            self.pool.fit(job)
        for name in jobs:
            self.failed.pop(name, None)
        self.waiting |= {name: job for name, job in jobs.items() if name not in self.running}

    @property
    def unfinished(self) -> int:
        return len(self.waiting) + len(self.running)

    def turn(self, seconds: float = 1.0) -> None:
        """Starts what can be started, and waits until a job ends, or so long."""
        for name, job in list(self.waiting.items()):
            if broken := next((below for below in job.needs if below in self.failed), None):
                self._over(name, f"not started: {broken} failed")
            elif self._ready(job) and self.pool.room(job):
                self._start(name, job)
        for name, ending in self.pool.ended(seconds if self.unfinished else 0.0):
            self._settle(name, self.running.pop(name), ending)
        show(self.line)

    def run(self, jobs: Graph) -> None:
        """Trains jobs and waits for all of them. An interruption interrupts them."""
        try:
            self.add(jobs)
            while self.unfinished:
                self.turn()
        finally:
            show("")
            self.pool.stop()

    def _ready(self, job: Job) -> bool:
        held = self.waiting.keys() if self.pool.ordered else self.waiting.keys() | self.running.keys()
        return not held & set(job.needs)

    def _start(self, name: str, job: Job) -> None:
        if job.run.finished:  # another sweep was faster
            self._over(name)
        elif job.run.locked:  # nothing waits for a lock on a device
            if name not in self._busy:
                say(f"waits     {name}, which another process is running")
            self._busy.add(name)
        else:
            self._since[name] = time.monotonic()
            self.running[name] = self.waiting.pop(name)
            self.pool.start(job)
            say(f"{'queued' if self.pool.ordered else 'started':<9} {name}")

    def _settle(self, name: str, job: Job, ending: Ending) -> None:
        if job.run.finished:
            self._took.append(time.monotonic() - self._since[name])
            self._over(name, job=job)
        elif ending.skipped or ending.code == BUSY:
            self.waiting[name] = job
        elif ending.lost and self._losses.get(name, 0) < LOSSES:
            self._losses[name] = self._losses.get(name, 0) + 1
            self.waiting[name] = job
            say(f"again     {name} ({ending})")
        elif ending.code not in (WRONG, ON_PURPOSE) and self._tries.get(name, 0) < self.retries:
            self._tries[name] = self._tries.get(name, 0) + 1
            self.waiting[name] = job
            say(f"again     {name} ({ending}, retry {self._tries[name]} of {self.retries})")
        else:
            self._over(name, "ended without a result" if ending == Ending() else str(ending), job)

    def _over(self, name: str, failure: str = "", job: Job | None = None) -> None:
        job = job or self.waiting.pop(name)
        if failure:
            self.failed[name] = failure
            said = job.run.last_words
            word = "ended" if failure == str(Ending(ON_PURPOSE)) else "failed"
            say(f"{word:<9} {name} ({failure})" + (f": {said}" if said else ""))
        else:
            self.done.append(name)
            say(f"done      {name}  {job.run.headline}")

    @property
    def line(self) -> str:
        """Where the sweep stands, in one line."""
        parts = [f"{len(self.done)} done", f"{len(self.running)} running", f"{len(self.waiting)} waiting"]
        if self.failed:
            parts.append(f"{len(self.failed)} failed")
        if self._took and self.running:
            left = sum(self._took) / len(self._took) * self.unfinished / len(self.running)
            parts.append(f"about {duration(left)} left")
        return ", ".join(parts)


def failures(failed: dict[str, str], remedy: str = "The same command runs what is missing") -> SweepError:
    """Returns the error that names them, and what to do."""
    named = "; ".join(f"{name} ({why})" for name, why in failed.items())
    return SweepError(f"failed: {named}. {remedy}.")


def duration(seconds: float) -> str:
    """A time for people: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def say(line: str) -> None:
    """Prints a line, over the status line where there is a terminal."""
    print(f"{CLEAR if sys.stdout.isatty() else ''}{line}", flush=True)


def show(line: str) -> None:
    """Shows the status line on a terminal, in place of the one before."""
    if sys.stdout.isatty():
        print(f"{CLEAR}{line}", end="", flush=True)


CLEAR = "\r\x1b[K"
