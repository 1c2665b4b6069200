"""What a module that is trained sparsely has, beyond what every LightningModule has."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Protocol, cast

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, distributed, nn


class Trained(Protocol):
    """Attributes:
    network: a plain module, whose parameters may be masked.
    head: names of those of its parameters that are above the encoder.
    steps: optimizer steps of the whole schedule.
    batch_size: examples per optimizer step.
    accumulate: micro-batches per optimizer step.
    monitor: name of the validation metric that says which checkpoint is best.
    higher_is_better: whether that is so of this metric.
    validation_examples: how many examples a validation evaluates.
    tested: whether there are splits that only the final network is evaluated on.
    untrained: names of layers whose weights are new, drawn at random.
    asked: other networks, which say something of each training batch, too.
    """

    network: nn.Module
    head: Collection[str]
    steps: int
    batch_size: int
    accumulate: int
    monitor: str
    higher_is_better: bool
    tested: bool
    untrained: Sequence[str]

    @property
    def validation_examples(self) -> int: ...

    @property
    def asked(self) -> Sequence[nn.Module]: ...

    def chance(self) -> float | None:
        """Up to which value of `monitor` a network may only be guessing; None where that cannot be said."""

    def loss(self, batch: Any) -> Tensor:
        """What is descended on a batch of training data, a scalar."""

    def outputs(self, batch: Any, network: Any = None) -> Any:
        """What the network, or another one that is asked, says of a batch of any data."""

    def train_dataloader(self) -> Any: ...

    def sample_dataloader(self, batches: int) -> Any:
        """The training batches of so many optimizer steps from the present one on, be the run shorter or not."""

    def flow(self, weights: Mapping[str, Tensor]) -> Tensor:
        """A scalar, differentiable by these weights of the network: what flows through it without data (SynFlow)."""

    def size(self, batch: Any) -> tuple[int, int, int]:
        """Examples of a batch, sequences that they are, and tokens per sequence, padding included."""

    def tokens(self, batch: Any) -> Tensor:
        """Where a batch has tokens and not padding: bool, of shape (sequences, tokens per sequence)."""


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


def batches_ahead(trainer: Trainer, module: LightningModule, batches: int) -> Iterator[Iterator[Any]]:
    """Yields the micro-batches of each of the next training batches; the run's own place in its data stays.

    Always as many as asked for, also where the run is about to end.
    """
    accumulate = int(trainer.accumulate_grad_batches)
    micro_batches = iter(trained(module).sample_dataloader(batches))
    for _ in range(batches):
        yield (trainer.strategy.batch_to_device(batch) for batch in islice(micro_batches, accumulate))


def evaluated(trainer: Trainer) -> dict[str, float]:
    """Returns the metrics of the latest evaluation, by <split>/<metric>."""
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    return {name: value for name, value in metrics.items() if not name.startswith(("train/", "sparsity"))}


def of_ranks(mine: Any) -> list[Any]:
    """Returns what each of the ranks has, in their order; every one of them has to ask."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return [mine]
    everyone: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(everyone, mine)
    return everyone


def over_ranks(trainer: Trainer, operation: str, tensor: Tensor) -> Tensor:
    """Returns the mean or the sum of a tensor over all ranks."""
    reduced = trainer.strategy.reduce(tensor, reduce_op=operation)
    assert isinstance(reduced, Tensor)
    return reduced
