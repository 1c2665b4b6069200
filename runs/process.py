"""A job as a process: its output goes to a file, and it ends when the process that started it does."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

TRACEBACKS = os.environ.get("HYDRA_FULL_ERROR") == "1"  # as the user set it, before the program does
JOB = "LACUNA_JOB"  # is in the environment of a job of a sweep, which does not wait for what others run
LIFELINE = "LACUNA_LIFELINE"  # is in the environment of a process whose standard input ends with its parent
GRACE = 60.0  # seconds that an interrupted job has to end by itself


def begin(command: Sequence[str], log: Path | None, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Starts a job.

    It is in a session of its own, so that Ctrl-C reaches it only through who started it.

    Args:
        log: file of its output, stdout and stderr; None = it goes where that of this process goes.
        environment: what differs from the present one.
    """
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
    with nullcontext() if log is None else log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
            env={**_original_environment(), **environment, LIFELINE: "1"},
            start_new_session=True,
        )


def _original_environment() -> dict[str, str]:
    """The environment as the user set it."""
    return {name: value for name, value in os.environ.items() if TRACEBACKS or name != "HYDRA_FULL_ERROR"}


def end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Interrupts jobs and waits for them, first patiently."""
    for process in processes:
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + GRACE
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.stdin is not None:
            process.stdin.close()


def hold_lifeline() -> None:
    """Interrupts this process when the one that started it as a job is gone, however that died."""
    if os.environ.get(LIFELINE) != "1":
        return

    def watch() -> None:
        while os.read(0, 1024):  # not through sys.stdin, whose lock the end of the interpreter asks for
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
