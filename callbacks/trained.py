"""What a module that is trained sparsely has, beyond what every LightningModule has."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, cast

from lightning.pytorch import LightningModule
from torch import Tensor, nn


class Trained(Protocol):
    """Attributes:
    network: a plain module, whose parameters may be masked.
    steps: optimizer steps of the whole schedule.
    batch_size: examples per optimizer step.
    monitor: name of the validation metric that says which checkpoint is best; higher is better.
    validation_examples: size of the validation split.
    tested: whether there is a test split.
    """

    network: nn.Module
    steps: int
    batch_size: int

    @property
    def monitor(self) -> str: ...

    @property
    def validation_examples(self) -> int: ...

    @property
    def tested(self) -> bool: ...

    def loss(self, batch: Any) -> Tensor: ...

    def train_dataloader(self) -> Any: ...

    def size(self, batch: Any) -> tuple[int, int, int]:
        """Examples of a batch, sequences that they are, and tokens per sequence, padding included."""


def trained(module: LightningModule) -> Trained:
    """The same module, typed."""
    return cast(Trained, module)


@contextmanager
def in_evaluation_mode(module: LightningModule) -> Iterator[None]:
    """Inside, nothing is dropped out and no random number drawn; afterwards every part is in the mode it was in."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
