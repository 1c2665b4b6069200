"""`python train.py` as a process, and how to interfere with it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.conftest import ROOT


def train(
    *arguments: str, folder: Path, check: bool = True, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs `python train.py` with its root in a folder."""
    command = [sys.executable, "train.py", *arguments, f"root={folder}"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, **(environment or {})}
    )
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def results(folder: Path) -> dict[str, Any]:
    """Results by run id."""
    return {path.parent.name: json.loads(path.read_text()) for path in folder.glob("*/result.json")}


def injected(folder: Path, code: str) -> dict[str, str]:
    """An environment in which every Python runs some code before anything else."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": str(folder)}


def signalled(folder: Path, name: str, step: int = 0, hook: str = "on_train_batch_end") -> dict[str, str]:
    """An environment in which a training sends itself a signal at the first call of a hook at or after a step."""
    return injected(
        folder,
        "import os, signal\n"
        "import lightning.pytorch as pl\n"
        "def signalling(self, *_):\n"
        f"    if self.trainer.global_step >= {step}:\n"
        f"        delattr(pl.LightningModule, '{hook}')\n"
        f"        os.kill(os.getpid(), signal.{name})\n"
        f"pl.LightningModule.{hook} = signalling\n",
    )


def watched(folder: Path) -> dict[str, str]:
    """An environment in which a training says at which step it begins."""
    return injected(
        folder,
        "import lightning.pytorch as pl\n"
        "pl.LightningModule.on_train_start = lambda self: print('begins at', self.trainer.global_step)\n",
    )
