"""What training descends: a function of what the network says of a batch, and of what the loss itself knows."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tasks.batches import Batch


@final
@dataclass(frozen=True)
class Outputs:
    """What a network says of the examples of a batch.

    Attributes:
        logits: scores of the classes or choices, float32, of shape (examples, classes); -inf where an example has no
            such choice. Of a regression, (examples, 1).
        labels: (examples,).
        losses: the task's own loss of each example by its label, (examples,).
        hidden: for losses that look inside, the embeddings and the outputs of each layer, (sequences, tokens, size).
        real: which tokens are no padding, bool of shape (sequences, tokens).
    """

    logits: Tensor
    labels: Tensor
    losses: Tensor
    hidden: tuple[Tensor, ...]
    real: Tensor


class Loss(nn.Module, ABC):
    """A training loss; its own parameters, if it has any, are trained with the network's.

    Attributes:
        inside: whether it looks at hidden states.
    """

    inside: bool = False

    def prepare(self, network: PreTrainedModel, rows: Sequence[Any]) -> None:
        """Takes note of the network that is trained and of the rows that it is trained on, before training.

        Raises:
            ValueError: the loss cannot be had on them.
        """

    def asked(self, device: torch.device) -> Sequence[PreTrainedModel]:
        """Networks that say something of each training batch, too, on a device."""
        return ()

    @abstractmethod
    def forward(self, outputs: Outputs, batch: Batch, by: Callable[[PreTrainedModel], Outputs]) -> Tensor:
        """Returns the mean over the examples of a batch, a scalar.

        Args:
            batch: `index` (examples,) says which rows of the training split they are.
            by: says what another network, of the same kind, has to say of the batch.
        """


@final
class Supervised(Loss):
    """The task's own loss by the labels: cross-entropy in nats, or squared error of a regression."""

    def forward(self, outputs: Outputs, batch: Batch, by: Callable[[PreTrainedModel], Outputs]) -> Tensor:
        return outputs.losses.mean()
