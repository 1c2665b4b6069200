"""How a task is trained, whichever it is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from models.tuning import Tuning
from tasks.losses import Loss
from tasks.optim import Optim


@final
@dataclass(frozen=True)
class Recipe:
    """What every task is trained with.

    Attributes:
        optim: optimizer and learning-rate schedule.
        loss: what is descended.
        tuning: which parameters are trained.
        batch_size: examples per optimizer step, whatever the accumulation and the number of devices.
        steps: optimizer steps of a run with so many training examples, from which the schedule is made.
        seed: of the order of the training data.
        accumulate: micro-batches per optimizer step.
    """

    optim: Optim
    loss: Loss
    tuning: Tuning
    batch_size: int
    steps: Callable[[int], int]
    seed: int
    accumulate: int = 1
