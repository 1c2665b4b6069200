"""Runs that are no trainings, and jobs whose process is any command: what a sweep does is seen in a second."""

import json
import sys
from pathlib import Path

from omegaconf import OmegaConf

from runs.folder import Run
from runs.graph import Job
from tests.conftest import ROOT

RESULT = {"status": "completed", "task": "t", "model": "m", "method": "x", "seed": 1, "steps": 1, "seconds": 1.0}
RESULT |= {"metrics": {"val/accuracy": 0.5}, "sparsity": {"scope": 0.0, "model": 0.0}, "examples_per_second": 1.0}

# Writes when it is there, on which device, and a result, unless it is told how to end instead.
SCRIPT = """
import json, os, pathlib, sys, time
sys.path.insert(0, sys.argv[5])
from runs.process import hold_lifeline
hold_lifeline()
folder, result, seconds, ending = pathlib.Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4]
tries = folder.with_name(folder.name + ".tries")
tries.write_text((tries.read_text() if tries.exists() else "") + "x")
folder.with_name(folder.name + ".pid").write_text(str(os.getpid()))
begun = time.time()
time.sleep(seconds)
if ending == "raise": sys.exit("RuntimeError: so it goes")
if ending == "wrong": sys.exit(2)
if ending == "kill": os.kill(os.getpid(), 9)
if ending == "once" and len(tries.read_text()) == 1: sys.exit(1)
if ending == "nothing": sys.exit(0)
if ending == "busy" and len(tries.read_text()) == 1: sys.exit(4)
folder.mkdir(exist_ok=True)
device = os.environ.get("CUDA_VISIBLE_DEVICES")
(folder / "seen.json").write_text(json.dumps([begun, time.time(), device, os.environ.get("OMP_NUM_THREADS")]))
(folder / "result.json").write_text(result)
"""


def scripted(
    root: Path, name: str, needs: tuple[str, ...] = (), ending: str = "", seconds: float = 0.0, devices: int = 1
) -> Job:
    """A job that writes its result after a while, or ends otherwise."""
    config = OmegaConf.create({"root": str(root), "trainer": {"accelerator": "auto", "devices": devices}})
    run = Run(config)
    run.__dict__["id"] = name
    job = Job(run, needs)
    command = [sys.executable, "-c", SCRIPT, str(run.folder), json.dumps(RESULT), str(seconds), ending, str(ROOT)]
    object.__setattr__(job, "command", lambda: command)
    return job


def seen(job: Job) -> tuple[float, float, str | None, str | None]:
    """When a scripted job began and ended, on which device, with how many threads."""
    begun, ended, device, threads = json.loads((job.run.folder / "seen.json").read_text())
    return begun, ended, device, threads


def tries(job: Job) -> int:
    """How often a job was started."""
    path = job.run.folder.with_name(f"{job.run.id}.tries")
    return len(path.read_text()) if path.exists() else 0


def graph_of(*jobs: Job) -> dict[str, Job]:
    return {job.run.id: job for job in jobs}
