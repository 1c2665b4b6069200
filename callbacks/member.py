"""A run as a member of a population: it hands its state over after each validation, and waits to be let go on."""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import final

from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

WAIT = 0.05  # seconds between two looks
REPORT, STATE = "report.json", "last.ckpt"


@final
class Member(Callback):
    """Trains with values that change when the member goes on from another one's state.

    After a validation the folder has the state and, written last, `report.json` with step and metrics; the run goes on
    when that is gone.

    Args:
        folder: where both are handed over.
        values: `lr` and `weight_decay`, or one of them; what a checkpoint brings along of another member's is replaced.

    Raises:
        ValueError: the schedule is not one of factors of the learning rate.
    """

    def __init__(self, folder: str, values: Mapping[str, float]) -> None:
        self.folder = Path(folder)
        self.values = dict(values)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if "weight_decay" in self.values:
            set_weight_decay(trainer.optimizers[0], self.values["weight_decay"])
        if "lr" in self.values:
            schedule = trainer.lr_scheduler_configs[0].scheduler
            if not isinstance(schedule, LambdaLR):
                raise ValueError("a population changes lr, so its schedule cannot be onecycle; use optim=adamw_linear")
            set_lr(schedule, self.values["lr"])

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # At the end, the checkpoint would be of a run that has nothing left to do.
        if trainer.sanity_checking or trainer.global_step >= trainer.max_steps:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        trainer.save_checkpoint(self.folder / STATE)
        numbers = {name: float(value) for name, value in trainer.callback_metrics.items()}
        partial = self.folder / f".{REPORT}.partial"
        partial.write_text(json.dumps({"step": trainer.global_step, **numbers}))
        os.replace(partial, self.folder / REPORT)
        while (self.folder / REPORT).exists():
            time.sleep(WAIT)


def set_lr(schedule: LambdaLR, lr: float) -> None:
    """Has a schedule go on from the step it is at, as if its optimizer had begun with another learning rate."""
    groups = schedule.optimizer.param_groups
    for group, factor in zip(groups, schedule.lr_lambdas, strict=True):
        group["initial_lr"], group["lr"] = lr, lr * factor(schedule.last_epoch)
    schedule.base_lrs = [lr] * len(groups)
    schedule._last_lr = [group["lr"] for group in groups]


def set_weight_decay(optimizer: Optimizer, value: float) -> None:
    """Sets the weight decay of the weight matrices."""
    for group in optimizer.param_groups:
        if any(parameter.ndim > 1 for parameter in group["params"]):
            group["weight_decay"] = value
