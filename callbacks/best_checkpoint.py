"""The best sparse checkpoint: one that is better but not yet sparse does not count."""

import math
from pathlib import Path
from typing import Any, final

from lightning.pytorch import Callback, LightningModule, Trainer

from callbacks.sparsifier import Sparsifier


@final
class BestCheckpoint(Callback):
    """Saves the state with the highest validation metric among those that have reached the target sparsity.

    Args:
        path: the file.
        monitor: name of the metric; higher is better.
        sparsifier: says when the target is reached.
    """

    def __init__(self, path: Path, monitor: str, sparsifier: Sparsifier) -> None:
        self.path = path
        self.monitor = monitor
        self.sparsifier = sparsifier
        self.best: dict[str, float] | None = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.sparsifier.settled:
            value = float(trainer.callback_metrics.get(self.monitor, math.nan))  # a correlation may not exist
            if value > (-math.inf if self.best is None else self.best[self.monitor]):
                self.best = {"step": trainer.global_step, self.monitor: value}
                trainer.save_checkpoint(self.path)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]
