"""Modules that a network is given in addition and that cannot be merged into it; see :mod:`models.saving`."""

from collections.abc import Mapping
from typing import Any

from torch import nn
from transformers import PreTrainedModel


def place(network: PreTrainedModel, owner: str, name: str, module: nn.Module) -> None:
    """Puts a new module into one of the network's, on its device and in its mode.

    Raises:
        ValueError: there is one of that name already.
    """
    into = network.get_submodule(owner)
    if hasattr(into, name):
        raise ValueError(f"the network has {owner}.{name} already; use tuning=full, other layers or another model")
    into.add_module(name, module.to(next(into.parameters()).device).train(into.training))


def note(network: PreTrainedModel, kind: str, options: Mapping[str, Any]) -> None:
    """Notes in the network's config what has been added to it, so that it is saved with it."""
    network.config.additions = [*getattr(network.config, "additions", []), {"kind": kind, **options}]
