"""Shows dashboards how the masks of a run change: sparsity tensor by tensor, and pictures of some of them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, final

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from callbacks.loggers import Dashboard, Layers
from callbacks.sparsifier import Sparsifier
from sparsity.density_map import density_map

VIEWS = 10  # in a run, and one at its start and one at its end
TENSORS = 6  # of which there are pictures: the first, the last and some in between
PIXELS = 64  # at most, a side


@final
class LayerView(Callback):
    """Shows the masks when they have changed, at a rate that does not slow training down.

    Args:
        sparsifier: holds the masks.
        dashboards: where they are shown.
    """

    def __init__(self, sparsifier: Sparsifier, dashboards: Sequence[Dashboard]) -> None:
        self.sparsifier = sparsifier
        self.dashboards = dashboards
        self._shown: Mapping[str, float] = {}  # made anew whenever masks change
        self._due = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._show(trainer, trainer.global_step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step - 1  # that of the update, as in the curves
        if step >= self._due:
            self._show(trainer, step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._show(trainer, trainer.global_step)

    def _show(self, trainer: Trainer, step: int) -> None:
        densities = self.sparsifier.densities
        if densities is self._shown or not densities or not trainer.is_global_zero:
            return
        self._shown, self._due = densities, step + max(1, math.ceil(trainer.max_steps / VIEWS))
        sparsities = {name: 1 - density for name, density in densities.items()}
        pictures = {name: picture(self.sparsifier.masks[name]) for name in some(list(densities))}
        for dashboard in self.dashboards:
            dashboard.show_layers(Layers(sparsities, pictures), step)


def some(names: Sequence[str]) -> list[str]:
    """Returns a few names, evenly spaced from the first to the last.

    >>> some("abcdefghijk")
    ['a', 'c', 'e', 'g', 'i', 'k']
    """
    if len(names) <= TENSORS:
        return list(names)
    return [names[round(index * (len(names) - 1) / (TENSORS - 1))] for index in range(TENSORS)]


def picture(mask: Tensor) -> Tensor:
    """Returns the densities of a mask's tiles relative to the densest, on the CPU."""
    tiles = density_map(mask, PIXELS).cpu()
    return tiles / tiles.max().clamp(min=1e-12)
