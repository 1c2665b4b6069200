"""The best sparse checkpoint: one that is better but not yet sparse does not count."""

import math
import operator
from pathlib import Path
from typing import Any, final

from lightning.pytorch import Callback, LightningModule, Trainer

from callbacks.sparsifier import Sparsifier
from callbacks.trained import evaluated


@final
class BestCheckpoint(Callback):
    """Saves the state with the best validation metric among those that have reached the target sparsity.

    Args:
        path: the file.
        monitor: name of the metric.
        higher_is_better: whether that is so of this metric.
        sparsifier: says when the target is reached.

    Attributes:
        best: the "step" of that checkpoint, this metric, and the others of the same validation; None before there is
            one.
    """

    def __init__(self, path: Path, monitor: str, higher_is_better: bool, sparsifier: Sparsifier) -> None:
        self.path = path
        self.monitor = monitor
        self.better = operator.gt if higher_is_better else operator.lt
        self.sparsifier = sparsifier
        self.best: dict[str, float] | None = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.sparsifier.settled:
            found = evaluated(trainer)
            metrics = {name: value for name, value in found.items() if math.isfinite(value)}  # correlations may not be
            value = metrics.get(self.monitor)
            if value is not None and (self.best is None or self.better(value, self.best[self.monitor])):
                self.best = {"step": trainer.global_step, self.monitor: value} | metrics
                trainer.save_checkpoint(self.path)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]
