"""The batches of a task's splits, for the step and the device that ask for them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from tasks.batches import Batch, Encoded, LengthGroupedBatches, Loader, Noise, evaluation_batches, unchanged
from tasks.chunks import Chunks
from tasks.recipe import Recipe


@final
@dataclass(frozen=True)
class Loading:
    """Makes loaders of encoded splits.

    Attributes:
        examples: by split.
        collate: makes a batch of examples.
        recipe: says how large batches are and in which order training sees them.
        noise: what is done to each batch; see `Loader`.
    """

    examples: Mapping[str, Sequence[Encoded]]
    collate: Callable[[Sequence[Any]], Batch]
    recipe: Recipe
    noise: Noise = unchanged

    def training(self, steps: int, rank: int, world_size: int, step: int) -> Loader:
        """The training batches of a rank from an optimizer step on until there have been so many.

        Raises:
            ValueError: there is no training split, and there shall be batches.
        """
        if "train" not in self.examples:
            if steps > 0:
                raise ValueError("the method looks at training data, and the data of the task has no split 'train'")
            return Loader((), (), self.collate)
        order = LengthGroupedBatches(
            lengths=lengths(self.examples["train"]),
            batch_size=self.recipe.batch_size,
            steps=steps,
            seed=self.recipe.seed,
            accumulate=self.recipe.accumulate,
            rank=rank,
            world_size=world_size,
            start=step * self.recipe.accumulate,
        )
        return Loader(self.examples["train"], order, self.collate, self.noise)

    def evaluation(self, split: str, rank: int, world_size: int) -> Loader:
        """A rank's share of a split, each example once."""
        # No more examples at once than in training, whose gradients need more memory than evaluation.
        size = max(1, self.recipe.batch_size // (self.recipe.accumulate * world_size))
        return Loader(
            self.examples[split],
            evaluation_batches(lengths(self.examples[split]), size, rank, world_size),
            self.collate,
            self.noise,
        )


def lengths(examples: Sequence[Encoded]) -> np.ndarray:
    """Tokens of each example; those of a long text are known without making them."""
    return examples.lengths if isinstance(examples, Chunks) else np.array([example.length for example in examples])
