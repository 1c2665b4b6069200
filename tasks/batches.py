"""Which examples form a batch: a pure function of seed and batch number, grouped by length to spare padding."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, final

import numpy as np
import torch
from torch import Tensor

WINDOW = 50  # batches among which examples are grouped by length
EPOCH, SHUFFLE = 0, 1  # keys of the two independent random streams of a seed
INPUTS = ("input_ids", "attention_mask", "token_type_ids")  # of a network, those of them that a batch has

UNKNOWN = -100  # stands for a label that is not known; torch's cross-entropy passes over it

Batch = dict[str, Tensor]
Noise = Callable[[Batch, int | None], Batch]


def unchanged(batch: Batch, step: int | None) -> Batch:
    """The noise that is none."""
    return batch


class Encoded(Protocol):
    """An example as a network takes it, of so many tokens."""

    @property
    def length(self) -> int: ...


@final
@dataclass(frozen=True, slots=True)
class Example:
    """An encoded row: one token sequence, or one for each choice, and the label, None where it is not known.

    `blanks` are the places in each sequence, first and end, of tokens that the network is not shown but has to guess.
    """

    ids: list[list[int]]
    types: list[list[int]] | None
    label: int | float | None
    blanks: list[tuple[int, int]] | None = None

    @property
    def length(self) -> int:
        return max(map(len, self.ids))


@final
@dataclass(frozen=True)
class LengthGroupedBatches:
    """Indices of the examples of each micro-batch of a run of `steps` optimizer steps.

    Seeded permutations of the data, one behind the other without end, are cut into windows of `WINDOW` batches. A
    window is sorted by length, cut into batches of exactly `batch_size`, and those are shuffled. So no batch is short,
    nothing is dropped, and an epoch may end within a batch.

    Args:
        lengths: tokens of each example.
        batch_size: examples per optimizer step, over all ranks and micro-batches.
        accumulate: micro-batches per step.
        start: micro-batches of the run that are already behind it. `len` is that of the whole run all the same.

    Raises:
        ValueError: there is no data, or the batch cannot be split evenly.
    """

    lengths: Sequence[int] | np.ndarray
    batch_size: int
    steps: int
    seed: int
    accumulate: int = 1
    rank: int = 0
    world_size: int = 1
    start: int = 0

    def __post_init__(self) -> None:
        if not len(self.lengths):
            raise ValueError("the training split has no examples")
        if self.batch_size < 1 or self.batch_size % (self.accumulate * self.world_size):
            raise ValueError(
                f"batch_size={self.batch_size} cannot be split evenly into {self.accumulate} micro-batches (accumulate)"
                f" on {self.world_size} devices; make it a multiple of {self.accumulate * self.world_size}"
            )

    def __len__(self) -> int:
        return self.steps * self.accumulate

    def __iter__(self) -> Iterator[list[int]]:
        window = lru_cache(maxsize=1)(self._window)
        permutation = lru_cache(maxsize=2)(self._permutation)
        size = self.batch_size // (self.accumulate * self.world_size)
        for micro in range(self.start, len(self)):
            step, part = divmod(micro, self.accumulate)
            batch = window(step // WINDOW, permutation)[step % WINDOW]
            # Neighbours in length go to the ranks of one micro-batch, so that none of them waits.
            first = (part * self.world_size + self.rank) * size
            yield batch[first : first + size].tolist()

    def _window(self, number: int, permutation: Callable[[int], np.ndarray]) -> np.ndarray:
        """The batches of a window, shape (WINDOW, batch_size)."""
        size = WINDOW * self.batch_size
        epoch, offset = divmod(number * size, len(self.lengths))
        parts = []
        while size > 0:
            part = permutation(epoch)[offset : offset + size]
            parts.append(part)
            size -= len(part)
            epoch, offset = epoch + 1, 0
        members = np.concatenate(parts)
        members = members[np.argsort(np.asarray(self.lengths)[members], kind="stable")]
        order = np.random.default_rng((self.seed, SHUFFLE, number)).permutation(WINDOW)
        return members.reshape(WINDOW, self.batch_size)[order]

    def _permutation(self, epoch: int) -> np.ndarray:
        return np.random.default_rng((self.seed, EPOCH, epoch)).permutation(len(self.lengths))


def evaluation_batches(
    lengths: Sequence[int] | np.ndarray, batch_size: int, rank: int = 0, world_size: int = 1
) -> list[list[int]]:
    """Each example once, sorted by length, in batches of at most `batch_size` for this rank.

    All ranks get equally many batches, of sizes that differ by one at most: no rank waits for another one's batch. For
    this a `batch_size` of 1 may become 2. With fewer examples than ranks, some ranks have none.
    """
    order = np.argsort(np.asarray(lengths, dtype=np.int64), kind="stable")
    rounds = max(1, min(-(-len(order) // (batch_size * world_size)), len(order) // world_size))
    parts = np.array_split(order, rounds * world_size)[rank::world_size]
    return [part.tolist() for part in parts if len(part)]


@final
@dataclass(frozen=True)
class Loader:
    """Batches of examples in a given order; can be iterated again and again, and is the same each time.

    `index` (batch,) of a batch says which examples they are.

    Attributes:
        noise: what is done to a batch of the optimizer step, which is None in evaluation. Whatever it draws is a
            function of the examples and the step, so that runs resume and ranks agree.
    """

    examples: Sequence[Encoded]
    order: LengthGroupedBatches | Sequence[Sequence[int]]
    collate: Callable[[Sequence[Any]], Batch]
    noise: Noise = unchanged

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Batch]:
        training = self.order if isinstance(self.order, LengthGroupedBatches) else None
        for number, indices in enumerate(self.order):
            batch = self.collate([self.examples[index] for index in indices]) | {"index": torch.tensor(indices)}
            yield self.noise(batch, None if training is None else (training.start + number) // training.accumulate)

    # The order already starts where the run goes on; these two tell Lightning that it may resume within an epoch.

    def state_dict(self) -> dict[str, int]:
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        pass


def sequences(examples: Sequence[Example], padding: int) -> Batch:
    """Network inputs of examples with one sequence each: (batch, longest), and `labels` (batch,)."""
    return _pad(examples, padding) | _labels(examples)


def choices(examples: Sequence[Example], padding: int) -> Batch:
    """Network inputs of multiple-choice examples.

    All choices of the batch lie below each other, (all choices, 1, longest), as there may be more of them in one row
    than in another; `present` (batch, most choices) says which ones a row has; `labels` is (batch,).
    """
    inputs = {name: tensor.unsqueeze(1) for name, tensor in _pad(examples, padding).items()}
    return inputs | _present(examples) | _labels(examples)


def blanks(examples: Sequence[Example], padding: int, mask: int) -> Batch:
    """As `choices`, but of the shape (all choices, longest) and with the token `mask` all over the blanks.

    `hidden`, of the same shape, says which tokens these are, and `guess` what is to be guessed there.
    """
    inputs = _pad(examples, padding)
    guess = inputs["input_ids"]
    hidden = torch.zeros_like(guess, dtype=torch.bool)
    for row, (first, end) in enumerate(blank for example in examples for blank in example.blanks or ()):
        hidden[row, first:end] = True
    shown = inputs | {"input_ids": guess.masked_fill(hidden, mask)}
    return shown | {"guess": guess, "hidden": hidden} | _present(examples) | _labels(examples)


def _present(examples: Sequence[Example]) -> Batch:
    counts = torch.tensor([len(example.ids) for example in examples])
    return {"present": torch.arange(int(counts.max())) < counts[:, None]}


def _labels(examples: Sequence[Example]) -> Batch:
    return {"labels": torch.tensor([UNKNOWN if example.label is None else example.label for example in examples])}


def _pad(examples: Sequence[Example], padding: int) -> Batch:
    ids = [sequence for example in examples for sequence in example.ids]
    longest = max(map(len, ids))
    padded = torch.tensor([sequence + [padding] * (longest - len(sequence)) for sequence in ids])
    lengths = torch.tensor([len(sequence) for sequence in ids])
    batch = {"input_ids": padded, "attention_mask": (torch.arange(longest) < lengths[:, None]).long()}
    if examples[0].types is not None:
        types = [sequence for example in examples for sequence in example.types or ()]
        batch["token_type_ids"] = torch.tensor([t + [0] * (longest - len(t)) for t in types])
    return batch
