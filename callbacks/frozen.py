"""Weights that the tuning freezes can be pruned by their values, and by nothing that takes training them."""

from collections.abc import Mapping

from torch.nn import Parameter


def refuse_frozen(weights: Mapping[str, Parameter], wanted: str) -> None:
    """Refuses frozen weights.

    Args:
        wanted: what would have to be had of them, to complete a sentence.

    Raises:
        ValueError: one is frozen.
    """
    for name, weight in weights.items():
        if not weight.requires_grad:
            raise ValueError(
                f"{name} is frozen by the tuning, and {wanted}; use a method that prunes by weights alone and for good,"
                f" such as gmp, or scope=adapters"
            )
