"""Ends a run that has collapsed: at its target sparsity, and no better than guessing."""

import math
from typing import Any, final

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from callbacks.sparsifier import Sparsifier


@final
class Collapse(Callback):
    """Ends training after so many validations in a row at chance level.

    Those before the target sparsity is reached do not count, because such a run may recover. A network with random
    weights starts at chance, too: the number must leave it the time to learn.

    Args:
        validations: how many.
        monitor: name of the metric.
        chance: up to which value it is explained by guessing. NaN, as of a correlation with a constant, is.
        sparsifier: says when the target is reached.
        own: whether a checkpoint that is gone on from is of the same run.
    """

    def __init__(self, validations: int, monitor: str, chance: float, sparsifier: Sparsifier, own: bool) -> None:
        self.validations = validations
        self.monitor = monitor
        self.chance = chance
        self.sparsifier = sparsifier
        self.own = own
        self._in_a_row = 0

    @property
    def happened(self) -> bool:
        return self._in_a_row >= self.validations

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING:
            return
        value = float(trainer.callback_metrics.get(self.monitor, math.nan))
        if value > self.chance:
            self._in_a_row = 0
        elif self.sparsifier.settled:
            self._in_a_row += 1
        if self.happened:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"in_a_row": self._in_a_row}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if self.own:
            self._in_a_row = state_dict["in_a_row"]
