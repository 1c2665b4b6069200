"""A member of a population, as a process that Ray Tune listens to."""

import json
import shutil
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from runs.folder import Run
from runs.graph import Job
from runs.process import begin, end

TICK = 0.05  # seconds between two looks at a member
REPORT, STATE = "report.json", "last.ckpt"  # of callbacks.member


def train_member(values: Mapping[str, Any], config: str, home: str, metric: str) -> None:
    """Trains a member from the state that Ray Tune gives it to the end, reporting each validation to it.

    Args:
        values: of what changes.
        config: of the run that all members are, as yaml.
        home: the folder that has one for each member.
        metric: that they are compared by.
    """
    from ray import tune

    name = str(tune.get_context().get_trial_id())
    exchange = Path(home) / name / ".exchange" / uuid.uuid4().hex  # one that an earlier process of the member knows not
    node: Any = OmegaConf.create(config)
    node.root = str(Path(home) / name)
    node.trial = {"_target_": "callbacks.member.Member", "folder": str(exchange), "values": dict(values)}
    run = Run(node)
    with run.lock():  # until an earlier process of the member is gone
        if (checkpoint := tune.get_checkpoint()) is not None:
            run.checkpoint.parent.mkdir(parents=True, exist_ok=True)
            with checkpoint.as_directory() as folder:
                shutil.copy(Path(folder) / STATE, run.checkpoint)
            (run.folder / "result.json").unlink(missing_ok=True)
    process = begin(Job(run).command(), run.log, {})
    try:
        while process.poll() is None:
            if (exchange / REPORT).exists():
                said = json.loads((exchange / REPORT).read_text())
                if metric not in said:
                    raise ValueError(f"hydra.sweeper.metric={metric} is not measured; there are {', '.join(said)}")
                numbers = {"step": said["step"], metric: said[metric], "member": name, "finished": 0}
                tune.report({**numbers, **values}, checkpoint=tune.Checkpoint.from_directory(exchange))
                (exchange / REPORT).unlink()
            time.sleep(TICK)
    finally:
        end([process])
        shutil.rmtree(exchange, ignore_errors=True)
    if not run.finished:
        raise RuntimeError(f"{name}: {run.last_words}")
    result = run.result or {}
    tune.report({"step": result["steps"], metric: result["metrics"][metric], "member": name, "finished": 1, **values})
