"""Builds the parts of a composed run by hand, so that a test can stand beside the callbacks and look."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from omegaconf import DictConfig

from callbacks.fit import fit
from callbacks.metrics_file import MetricsFile
from callbacks.sparsifier import Sparsifier
from runs.settings import training_steps
from tasks.ood import joined
from tasks.recipe import Recipe
from train import build


@dataclass
class Parts:
    """A module and its sparsifier, before training."""

    config: DictConfig
    module: LightningModule
    sparsifier: Sparsifier

    def fit(self, folder: Path, *watchers: Callback, **options: Any) -> dict[str, Any]:
        """Trains with more callbacks behind our own and returns the numbers; options replace those of the trainer."""
        folder.mkdir(parents=True, exist_ok=True)
        given = {key: options.pop(key) for key in ("resume", "stop_step", "checkpoint_every") if key in options}
        trainer = partial(_with, build(self.config.trainer), watchers, options)
        loggers = [MetricsFile(folder / "metrics.csv")]
        return fit(trainer, self.module, self.sparsifier, folder, loggers=loggers, **given)[0]

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        return {name: weight.detach().clone() for name, weight in self.module.network.named_parameters()}


def takes_ticket(config: DictConfig) -> bool:
    """Whether the masks of a run come from another run."""
    return "ticket" in instantiate(config.method.start).needs(config)


def parts(config: DictConfig, ticket: Path | None = None) -> Parts:
    """Builds what train.py builds."""
    data, model, optim = joined(build(config.task.data), build(config.ood)), build(config.model), build(config.optim)
    seed_everything(config.seed, verbose=False)
    recipe = Recipe(
        optim=optim,
        loss=build(config.loss),
        tuning=build(config.tuning),
        batch_size=config.batch_size,
        steps=partial(training_steps, config),
        seed=config.seed,
        accumulate=config.trainer.accumulate_grad_batches,
    )
    module = build(config.task.module)(data=data, model=model, recipe=recipe)
    more = {} if ticket is None else {"ticket": str(ticket)}
    return Parts(config, module, build(config.method.sparsifier, **more))


def _with(
    trainer: Callable[..., Trainer], watchers: tuple[Callback, ...], options: dict[str, Any], **given: Any
) -> Trainer:
    return trainer(**{**given, "callbacks": [*given["callbacks"], *watchers], **options})
