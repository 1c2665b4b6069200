"""The training state that an interrupted run goes on from.

Lightning's own checkpoints of the middle of an epoch count a validation that is due at the same step as done, and
hold no random state. This callback saves where neither matters: after a step without validation, together with the
random states of all ranks.
"""

import random
import time
from pathlib import Path
from typing import Any, final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from callbacks.loggers import Rewindable
from callbacks.trained import of_ranks, trained


@final
class LastCheckpoint(Callback):
    """Saves the whole training state to one file now and then, and at the end of training.

    Args:
        path: the file; it always holds a complete state.
        every: seconds between two saves, or more, so that saving costs a twentieth of the time at most.
    """

    def __init__(self, path: Path, every: float) -> None:
        self.path = path
        self._run = path.parent.parent.name
        self.every = every
        self._pause = every
        self._saved_at = time.monotonic()
        self._random: list[dict[str, Any]] = []  # of each rank

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        run = checkpoint["callbacks"].get(self.state_key, {}).get("run")
        if trainer.ckpt_path == self.path and run != self._run:
            raise ValueError(f"{self.path} is the checkpoint of another run, {run}; delete it to start this one again")
        for logger in trainer.loggers:
            if isinstance(logger, Rewindable):
                logger.rewind(checkpoint["global_step"])
        # Lightning counts micro-batches, of which a step may have had another number when this was saved.
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        ahead = checkpoint["global_step"] * trainer.accumulate_grad_batches - progress["current"]["ready"]
        for counts in (progress["current"], progress["total"]):
            counts.update({name: count + ahead for name, count in counts.items()})

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_rank > 0:  # all ranks have the run's seed, and would drop out alike
            drawing = torch.Generator().manual_seed(torch.initial_seed())
            torch.manual_seed(int(torch.randint(2**32, (trainer.world_size,), generator=drawing)[trainer.global_rank]))

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        # Making the data iterator may draw random numbers, so the state is restored as late as can be.
        if trainer.global_rank < len(self._random):
            _set_random_state(self._random[trainer.global_rank])
        self._random = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        done = batch_idx + 1
        assert trainer.val_check_batch is not None
        if done % trainer.accumulate_grad_batches == 0 and done % int(trainer.val_check_batch) != 0:
            due = time.monotonic() - self._saved_at >= self._pause
            if trainer.strategy.reduce_boolean_decision(due, all=False):  # clocks differ, and saving is done together
                self._save(trainer)
        if trainer.global_step == trainer.max_steps and _cut_short(trainer, pl_module):
            self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # After the end of the epoch, Lightning's loops would have nothing to go on with.
        if not _cut_short(trainer, pl_module):
            self._save(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.max_steps == 0:  # nothing was trained, but other runs may start from here
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        begun = time.monotonic()
        trainer.save_checkpoint(self.path)
        self._saved_at = time.monotonic()
        if self.every > 0:
            self._pause = max(self.every, 20 * (self._saved_at - begun))

    def state_dict(self) -> dict[str, Any]:
        return {"random": of_ranks(_random_state()), "run": self._run}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._random = state_dict["random"]


def _cut_short(trainer: Trainer, module: LightningModule) -> bool:
    """Whether the run ends within its schedule, so that another one can go on from there."""
    return trainer.max_steps < trained(module).steps


def _random_state() -> dict[str, Any]:
    version, internal, gauss = random.getstate()
    return {
        "python": [version, list(internal), gauss],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def _set_random_state(state: dict[str, Any]) -> None:
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())
