"""Which parameters of a network are trained, and what is added to it for that."""

from abc import ABC, abstractmethod
from typing import final

from transformers import PreTrainedModel


class Tuning(ABC):
    """Prepares a network for training."""

    @abstractmethod
    def __call__(self, network: PreTrainedModel) -> PreTrainedModel:
        """Returns the network, changed in place, with `requires_grad` where it is trained."""


@final
class Full(Tuning):
    """Everything is trained."""

    def __call__(self, network: PreTrainedModel) -> PreTrainedModel:
        return network
