"""Who trains a run holds its lock, which goes with the process, however that dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runs.process import JOB


def lock_file(root: Path, run_id: str) -> Path:
    """The file whose lock is held by the process that trains a run."""
    return root / ".locks" / f"{run_id}.lock"


class BusyError(RuntimeError):
    """Another process holds a lock that a job of a sweep shall not wait for, as it would with its accelerators."""


@contextmanager
def holding(file: Path, otherwise: str) -> Iterator[None]:
    """Holds a lock inside; while another process does, it says so and waits.

    Raises:
        BusyError: this is a job of a sweep, and another process holds it.
    """
    with file.open("w") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if JOB in os.environ:
                raise BusyError(otherwise) from None
            print(otherwise, flush=True)
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def held(file: Path) -> bool:
    """Whether another process holds a lock."""
    try:
        with file.open() as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
