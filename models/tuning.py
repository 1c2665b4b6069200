"""Which parameters of a network are trained, and what is added to it for that."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

from transformers import PreTrainedModel

from models.blocks import PARTS, check_layers, check_parts, head, numbered


class Tuning(ABC):
    """Prepares a network for training: all is frozen but the head (pooler and classifier) and what `add` says."""

    def __call__(self, network: PreTrainedModel) -> PreTrainedModel:
        """Returns the network, changed in place, with `requires_grad` where it is trained.

        Raises:
            ValueError: the network has not what this needs.
        """
        network.requires_grad_(False)
        for _, parameter in head(network):
            parameter.requires_grad_()
        self.add(network)
        return network

    @abstractmethod
    def add(self, network: PreTrainedModel) -> None:
        """Adds trainable parameters to the network, or lets some of its own be trained; all others stay as they are.

        Raises:
            ValueError: the network has not what this needs.
        """


@final
class Full(Tuning):
    """Everything is trained."""

    def add(self, network: PreTrainedModel) -> None:
        network.requires_grad_()


@final
class Head(Tuning):
    """Nothing is trained but the head."""

    def add(self, network: PreTrainedModel) -> None:
        pass


@final
class Unfrozen(Tuning):
    """Some of the encoder's own parameters are trained: whole layers, parts of them, or their biases alone.

    Biases alone are BitFit (Ben Zaken et al. 2022, arXiv 2106.10199), less those of the embeddings.

    Args:
        parts: of each layer, LayerNorms included; None = the whole layer.
        layers: numbers from 0; None = all.
        biases_only: whether the biases of these alone are trained, those of LayerNorms included.

    Raises:
        ValueError: a part or layer is none that a network can have.
    """

    def __init__(
        self, parts: Sequence[str] | None = None, layers: Sequence[int] | None = None, biases_only: bool = False
    ) -> None:
        check_parts(list(PARTS) if parts is None else parts)
        check_layers(layers)
        self.parts = PARTS if parts is None else parts
        self.layers = layers
        self.biases_only = biases_only

    def add(self, network: PreTrainedModel) -> None:
        # A name has to begin with the part's: PETL's filter for "output" takes the attention's output as well.
        places = tuple(f"{PARTS[part]}." for part in self.parts)
        for _, layer in numbered(network, self.layers):
            for name, parameter in layer.named_parameters():
                if name.startswith(places) and (name.endswith(".bias") or not self.biases_only):
                    parameter.requires_grad_()


@final
class Together(Tuning):
    """Several tunings of one network.

    Raises:
        ValueError: there are none, or they do not go together.
    """

    def __init__(self, tunings: Sequence[Tuning]) -> None:
        if not tunings:
            raise ValueError("tuning.tunings is empty; give at least one tuning")
        self.tunings = tunings

    def add(self, network: PreTrainedModel) -> None:
        for tuning in self.tunings:
            tuning.add(network)
