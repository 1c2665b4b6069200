"""What a run came to: metrics, sparsity, steps and time."""

import math
import time
from collections.abc import Callable
from typing import Any, final

from lightning.pytorch import Callback, LightningModule, Trainer

from callbacks.sparsifier import Sparsifier
from callbacks.trained import evaluated, trained


@final
class Record(Callback):
    """Collects the numbers of a run's result.

    Args:
        sparsifier: knows the achieved sparsity.
        own: whether a checkpoint that is gone on from is of the same run.
        begin: called once training is about to begin, when everything that was asked for has been found possible.
    """

    def __init__(self, sparsifier: Sparsifier, begin: Callable[[], None], own: bool) -> None:
        self.sparsifier = sparsifier
        self.begin = begin
        self.own = own
        self.seconds = 0.0
        self.steps = 0
        self.validated_at = -1  # by this process, which has to see what the final network says
        self.logged_at = -1  # by this process or the one before
        self.batch_size = 0
        self.metrics: dict[str, float] = {}
        self._begun = False
        self._since: float | None = None

    def result(self, ledger: dict[str, Any]) -> dict[str, Any]:
        """Returns the part of the result that training decides; `ledger` is that of the final masks.

        A metric that is undefined, as the correlation with what is constant, is None.
        """
        rate = self.steps * self.batch_size / self.seconds if self.seconds else 0.0
        return {
            "sparsity": {
                "target": self.sparsifier.target,
                "scope": ledger["scope"]["sparsity"],
                "model": ledger["model"]["sparsity"],
            },
            **self.sparsifier.numbers,
            "trainable": ledger["trainable"],
            "empty_tensors": ledger["empty"],
            "metrics": {name: None if math.isnan(value) else value for name, value in self.metrics.items()},
            "steps": self.steps,
            "examples_per_second": rate,
            "seconds": self.seconds,
            "flops": ledger["flops"],
        }

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin()
        self._since = time.monotonic()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._pause()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._since = time.monotonic()
        self.validated_at = self.logged_at = trainer.global_step
        self._collect(trainer)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._collect(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._pause()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin()  # also where there was nothing to train, or nothing more
        self.steps = trainer.global_step
        self.batch_size = trained(pl_module).batch_size

    def state_dict(self) -> dict[str, Any]:
        self._pause()
        self._since = time.monotonic()
        return {"seconds": self.seconds, "validated_at": self.logged_at, "metrics": self.metrics}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if not self.own:
            return
        self.seconds = state_dict["seconds"]
        self.logged_at = state_dict["validated_at"]
        self.metrics = state_dict["metrics"]

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self.begin()

    def _pause(self) -> None:
        if self._since is not None:
            self.seconds += time.monotonic() - self._since
            self._since = None

    def _collect(self, trainer: Trainer) -> None:
        self.metrics |= evaluated(trainer)
