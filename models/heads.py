"""The small new network on top of a pretrained encoder: how its weights start and what it drops."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel


def linear_default(module: nn.Module) -> None:
    """Draws a Linear layer anew as torch and fairseq do: weights and biases uniform within +-1/sqrt(fan_in)."""
    if isinstance(module, nn.Linear):
        module.reset_parameters()


def check_dropout(key: str, probability: float) -> None:
    """Refuses what is no probability, or drops everything.

    Raises:
        ValueError: it is not within 0 and 1, or is 1.
    """
    if not 0 <= probability < 1:
        raise ValueError(f"{key}={probability} must be at least 0 and below 1")


def set_dropout(network: PreTrainedModel, probability: float) -> None:
    """Sets the dropout of the head.

    Most heads read `classifier_dropout` from the config when they are built. RoBERTa's multiple-choice head reads the
    encoder's `hidden_dropout_prob` instead, so its layer is set here, and again after each load.
    """
    network.config.classifier_dropout = probability
    heads = [child for name, child in network.named_children() if name != network.base_model_prefix]
    for head in heads:
        for module in head.modules():
            if isinstance(module, nn.Dropout):
                module.p = probability


def classes(network: PreTrainedModel) -> list[str]:
    """The names of a head's classes, in order; LABEL_0 and so on where no task has named them."""
    names: Any = network.config.id2label
    return [names[index] for index in range(len(names))]


@contextmanager
def only(network: PreTrainedModel, places: Tensor) -> Iterator[None]:
    """Inside, the head sees the hidden states of these places only.

    Args:
        places: bool of shape (batch, tokens); what the head says has the shape (places, classes).
    """
    heads = [child for name, child in network.named_children() if name != network.base_model_prefix]
    with ExitStack() as stack:
        for head in heads:
            hook = head.register_forward_pre_hook(lambda _, inputs: (inputs[0][places], *inputs[1:]))
            stack.callback(hook.remove)
        yield
