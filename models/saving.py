"""How a tuned network is saved, and how what cannot be merged into it comes back."""

from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from transformers import PreTrainedModel
from transformers.utils.hub import cached_file

from models.bottleneck import Bottleneck
from models.deltas import merge
from models.pooling import Pooling
from models.prefix import Prefix


def save(network: PreTrainedModel, folder: Path) -> None:
    """Saves a network as a plain one, with everything merged that can be; the network itself is merged, too.

    Adapters, prefixes and pooling cannot be. Their tensors are saved with the others, and `additions` in config.json
    says what they belong to: `Pretrained` builds the network with them. transformers alone loads it without them, and
    reports their names as unexpected.

    Raises:
        RuntimeError: a merged weight would lose zeros or is not finite.
    """
    merge(network).save_pretrained(folder)


def attach(network: PreTrainedModel, name: str) -> set[str]:
    """Gives a network that transformers has loaded from `name` the additions that its config speaks of.

    Returns the names of their parameters.

    Raises:
        ValueError: an addition is of a kind that is not known.
        KeyError, OSError: their weights are not there.
    """
    additions: list[dict[str, Any]] = getattr(network.config, "additions", [])
    if not additions:
        return set()
    network.config.additions = []  # which each notes again
    before = set(network.state_dict())
    for addition in additions:
        match addition:
            case {"kind": "bottleneck", **options}:
                Bottleneck(**options).add(network)
            case {"kind": "prefix", **options}:
                Prefix(**options).add(network)
            case {"kind": "pooling", **options}:
                Pooling(**options).add(network)
            case _:
                raise ValueError(f"its config names an addition that is not known, {addition}")
    added = network.state_dict().keys() - before
    file = cached_file(name, "model.safetensors")
    assert file is not None  # where it is not there, that is an error
    stored = load_file(file)
    network.load_state_dict({key: stored[key] for key in added}, strict=False)
    return added
