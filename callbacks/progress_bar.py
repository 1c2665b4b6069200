"""The progress bar, with the current sparsity in it."""

import sys
from typing import final

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar

from callbacks.inherited_zeros import InheritedZeros
from callbacks.sparsifier import Sparsifier


@final
class SparsityProgressBar(TQDMProgressBar):
    """Shows loss, validation metric and sparsity; quiet where no terminal looks."""

    def __init__(self, sparsifier: Sparsifier, zeros: InheritedZeros) -> None:
        super().__init__(refresh_rate=10 if sys.stderr.isatty() else 0)
        self.sparsifier = sparsifier
        self.zeros = zeros

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return {**metrics, "sparsity": f"{self.sparsifier.sparsity or self.zeros.sparsity:.2%}"}
