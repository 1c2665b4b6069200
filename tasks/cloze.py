"""Filling a blank: each option is scored by the head of masked language modelling, which guesses its tokens."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice
from typing import final

from torch import Tensor
from torch.nn import functional
from torchmetrics.classification import MulticlassAccuracy
from transformers import AutoModelForMaskedLM, PreTrainedTokenizerBase

from tasks.batches import Batch, Example, blanks
from tasks.encoding import room, with_blank
from tasks.recipe import Recipe
from tasks.rows import Cloze, answer
from tasks.task import Model, Task


@final
class BlankFilling(Task):
    """Chooses one of two or more options for the blank of a sentence (Kocijan et al. 2019, arXiv 1905.06290).

    The score of an option is the mean log-probability, in nats, of its tokens in the place of the blank, all of them
    masked. The loss of a sentence is that paper's equation 1, summed over the wrong options:
    `-right + alpha * max(0, wrong - right + beta)`.

    Args:
        data: sentences by split.
        model: where the network, its head of masked language modelling included, and the tokenizer come from.
        recipe: how it is trained; a batch is one of sentences.
        alpha: weight of the margin.
        beta: by how much the right option shall be ahead, in nats.
        max_length: most tokens per sequence; None allows what the model does. No sentence is cut.

    Raises:
        ValueError: a row has a label outside of its options or does not fit, the network's head or the tokenizer's mask
            is missing, or alpha or beta is negative.
    """

    def __init__(
        self,
        data: Mapping[str, Sequence[Cloze]],
        model: Model,
        recipe: Recipe,
        alpha: float,
        beta: float,
        max_length: int | None = None,
    ) -> None:
        for key, value in {"alpha": alpha, "beta": beta}.items():
            if value < 0:
                raise ValueError(f"task.module.{key}={value} must not be negative")
        network, tokenizer = model.build(AutoModelForMaskedLM), model.tokenizer()
        if untrained := list(getattr(network, "untrained", ())):
            raise ValueError(
                f"model '{model.name}' has no trained {untrained[0]}, whose probabilities this task compares; take a"
                f" model with the head of its pretraining, or task=winogrande, whose head is new"
            )
        if tokenizer.mask_token_id is None:
            raise ValueError(f"the tokenizer of model '{model.name}' has no mask token, which this task needs")
        most = max((len(row.options) for rows in data.values() for row in rows), default=2)
        length = room(network.config, max_length)
        super().__init__(
            network=network,
            tokenizer=tokenizer,
            data=data,
            examples={split: encoded(tokenizer, rows, length) for split, rows in data.items()},
            collate=partial(blanks, mask=tokenizer.mask_token_id),
            metrics={"accuracy": MulticlassAccuracy(num_classes=most, average="micro")},
            recipe=recipe,
        )
        self.alpha = alpha
        self.beta = beta

    def logits(self, scores: Tensor, batch: Batch) -> Tensor:
        """Scores of the options, shape (batch, most options); -inf where a row has fewer."""
        hidden, present = batch["hidden"], batch["present"]
        # Only what is hidden is guessed: the vocabulary is large.
        guessed = -functional.cross_entropy(scores[hidden].float(), batch["guess"][hidden], reduction="none")
        sums = guessed.new_zeros(hidden.shape).masked_scatter(hidden, guessed).sum(dim=1)
        return guessed.new_full(present.shape, float("-inf")).masked_scatter(present, sums / hidden.sum(dim=1))

    def criterion(self, logits: Tensor, labels: Tensor) -> Tensor:
        place = labels.clamp(min=0)[:, None]  # rows without a label have a loss that nobody looks at
        right = logits.gather(1, place)
        behind = (logits - right + self.beta).clamp(min=0).scatter(1, place, 0)
        return -right.squeeze(1) + self.alpha * behind.sum(dim=1)


def encoded(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Cloze], max_length: int) -> list[Example]:
    """Examples with one sequence per option.

    Raises:
        ValueError: a row has a label outside of its options, or a sentence or an option does not fit.
    """
    texts = [(row.before, option, row.after) for row in rows for option in row.options]
    ids, places = with_blank(tokenizer, texts, max_length)
    every_id, every_place = iter(ids), iter(places)
    return [
        Example(
            ids=list(islice(every_id, len(row.options))),
            types=None,
            label=answer(row, len(row.options)),
            blanks=list(islice(every_place, len(row.options))),
        )
        for row in rows
    ]
