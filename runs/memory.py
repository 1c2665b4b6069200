"""What becomes of a run when memory does not suffice: smaller micro-batches, or a sentence."""

import gc
import sys
from collections.abc import Callable, Mapping
from typing import Any

Numbers = Mapping[str, Any]


def with_room(train: Callable[[int], Numbers], accumulate: int, share: int, halve: bool) -> Numbers:
    """Returns what `train` does with so many micro-batches per step, and beside it how many these were in the end.

    When memory does not suffice, they are made half as large, or as large as the next smaller size that divides a batch
    evenly, and training goes on from the latest checkpoint or begins anew.

    Args:
        share: examples per step of a device.
        halve: whether to do so.

    Raises:
        MemoryError: micro-batches shall not or cannot be any smaller.
    """
    exhausted = 0
    while True:
        try:
            return {**train(accumulate), "accumulate": accumulate, "out_of_memory": exhausted}
        except Exception as error:
            # PyTorch's error, by its name: what is known before a training shall be known without importing it.
            if type(error).__name__ != "OutOfMemoryError":
                raise
            reason = str(error).partition(". ")[0]
            if not halve:
                raise MemoryError(f"{reason}; halve_on_oom=true goes on with smaller micro-batches") from error
            if accumulate == share:
                raise MemoryError(f"{reason}, with micro-batches of one example; take a smaller model") from error
        gc.collect()  # and not above, where the error holds on to what filled the memory
        exhausted += 1
        accumulate = next(number for number in range(2 * accumulate, share + 1) if share % number == 0)
        print(
            f"out of memory: each step goes on in {accumulate} micro-batches, of {share // accumulate} examples",
            file=sys.stderr,
        )
