"""No sparsity: the run that sparse ones are compared with and may start from."""

from typing import final

from callbacks.sparsifier import Masks, Plan, Sparsifier


@final
class Dense(Sparsifier):
    """Keeps every weight, and every zero of a model that comes sparse.

    Args:
        sparsity: must be 0.
        keep_zeros: whether the zeros of a sparse model stay zero; else they are weights like all others.

    Raises:
        ValueError: a sparsity is asked for.
    """

    def __init__(self, sparsity: float, keep_zeros: bool = True) -> None:
        if sparsity != 0:
            raise ValueError(f"method=dense keeps every weight, so sparsity={sparsity} needs another method")
        super().__init__(budget=None)
        self.keeps_zeros = keep_zeros

    def make_plan(self, steps: int) -> Plan:
        return {}

    def first_masks(self) -> Masks:
        return {}

    def update(self, step: int, value: float) -> Masks:
        raise AssertionError("a dense run has an empty plan")
