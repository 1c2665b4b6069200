"""How sparse a network is, tensor by tensor, in its scope and as a whole."""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

Ledger = dict[str, Any]


def ledger(
    network: nn.Module,
    masks: Mapping[str, Tensor],
    target: float,
    targets: Mapping[str, int | None] | None = None,
    inherited: Mapping[str, Tensor] | None = None,
) -> Ledger:
    """Returns the counts of a masked network, ready for JSON.

    Weights count as zero where a mask says so, never because of their value. Tied weights count once.

    Args:
        network: the masked one; all its parameters count in "model", also those out of scope.
        masks: by parameter name.
        target: sparsity that the scope should have.
        targets: weights that each tensor should keep, by name; None where tensors share one count.
        inherited: masks of tensors out of scope that came sparse; they count in "model" and are among "tensors".

    Returns:
        {"scope": {"numel", "kept", "sparsity", "target"}, "model": {"numel", "kept", "sparsity"},
        "tensors": [{"name", "shape", "numel", "kept", "sparsity", "target"}], "empty": names without a kept weight}.
    """
    everything, targets = {**masks, **(inherited or {})}, targets or {}
    found = counts(everything)
    tensors = [
        {"name": name, "shape": list(mask.shape), **_line(mask.numel(), found[name]), "target": targets.get(name)}
        for name, mask in everything.items()
    ]
    numel, kept = sum(mask.numel() for mask in masks.values()), sum(found[name] for name in masks)
    zeros = sum(mask.numel() - found[name] for name, mask in everything.items())
    model = sum(parameter.numel() for parameter in network.parameters())
    return {
        "scope": {**_line(numel, kept), "target": target},
        "model": _line(model, model - zeros),
        "tensors": tensors,
        "empty": [name for name, kept in found.items() if kept == 0],
    }


def trainable(
    network: nn.Module, head: Collection[str], ledger: Ledger, frozen: Collection[str] = ()
) -> dict[str, int]:
    """Returns how many weights are trained, pruned ones not counted: {"all", "head", "without_head", "of"}.

    Args:
        head: names of the parameters that are the head.
        ledger: says what is pruned.
        frozen: names of parameters that have gradients and are not trained by them.

    Returns:
        "of" is what all parameters would come to, those that a tuning has added included.
    """
    pruned = {tensor["name"]: tensor["numel"] - tensor["kept"] for tensor in ledger["tensors"]}
    parameters = {name: p for name, p in network.named_parameters() if p.requires_grad and name not in frozen}
    trained = {name: p.numel() - pruned.get(name, 0) for name, p in parameters.items()}
    total, above = sum(trained.values()), sum(count for name, count in trained.items() if name in head)
    return {"all": total, "head": above, "without_head": total - above, "of": ledger["model"]["kept"]}


def counts(masks: Mapping[str, Tensor]) -> dict[str, int]:
    """Returns the number of kept weights by name, with one wait for the device."""
    if not masks:
        return {}
    return dict(zip(masks, torch.stack([mask.count_nonzero() for mask in masks.values()]).tolist(), strict=True))


def _line(numel: int, kept: int) -> dict[str, Any]:
    return {"numel": numel, "kept": kept, "sparsity": (numel - kept) / numel if numel else 0.0}
