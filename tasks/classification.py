"""Classification of sentences and of sentence pairs."""

from collections.abc import Mapping, Sequence
from typing import final

from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerBase

from tasks.batches import Batch, Example, sequences
from tasks.encoding import pair, room
from tasks.recipe import Recipe
from tasks.rows import Pair, class_names
from tasks.task import Model, Task


@final
class Classification(Task):
    """Chooses one of K classes for a sentence or a pair of sentences.

    Args:
        data: pairs by split; with `second` None in all rows of a split, single sentences.
        model: where the network and the tokenizer come from.
        recipe: how it is trained.
        labels: names of the classes, in the order of the rows' label numbers; saved with the model.
        max_length: most tokens per sequence; None allows what the model does.
        metrics: measures of (predicted classes, labels) by name; the first one says which checkpoint is best. Accuracy
            is among them anyway, behind them where it is not named.
        submission: split -> file of a benchmark's server that its predictions are also written to.

    Raises:
        ValueError: there are fewer than two classes or two of one name, or a row has a label that is not among them.
    """

    def __init__(
        self,
        data: Mapping[str, Sequence[Pair]],
        model: Model,
        recipe: Recipe,
        labels: Sequence[str],
        max_length: int | None = None,
        metrics: Mapping[str, Metric] | None = None,
        submission: Mapping[str, str] | None = None,
    ) -> None:
        names = dict(enumerate(class_names(labels)))
        network = model.build(
            AutoModelForSequenceClassification,
            id2label=names,
            label2id={name: index for index, name in names.items()},
        )
        tokenizer = model.tokenizer()
        length = room(network.config, max_length)
        for rows in data.values():
            check_classes(rows, len(names))
        accuracy: Metric = MulticlassAccuracy(num_classes=len(names), average="micro")
        super().__init__(
            network=network,
            tokenizer=tokenizer,
            data=data,
            examples={split: encoded(tokenizer, rows, length) for split, rows in data.items()},
            collate=sequences,
            metrics={**(metrics or {}), **({} if "accuracy" in (metrics or {}) else {"accuracy": accuracy})},
            recipe=recipe,
            submission=submission,
        )
        self.names = names

    def logits(self, scores: Tensor, batch: Batch) -> Tensor:
        """Scores of the classes, shape (batch, K)."""
        return scores

    def called(self, value: int) -> str:
        """The name of a class."""
        return self.names[value]


def check_classes(rows: Sequence[Pair], classes: int) -> None:
    """Raises ValueError if a row has a label outside the classes."""
    for row in rows:
        if row.label is not None and not 0 <= row.label < classes:
            raise ValueError(f"row {row.id} has label {row.label}; the {classes} classes are numbered from 0")


def encoded(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Pair], max_length: int) -> list[Example]:
    """Examples with one sequence each.

    Raises:
        ValueError: only some rows have a second sentence.
    """
    seconds = [row.second for row in rows if row.second is not None]
    if seconds and len(seconds) != len(rows):
        raise ValueError(f"only {len(seconds)} of {len(rows)} rows have a second sentence; give it to all or none")
    both = pair(tokenizer, [row.first for row in rows], seconds or None, max_length)
    return [
        Example([ids], None if both.types is None else [both.types[index]], row.label)
        for index, (row, ids) in enumerate(zip(rows, both.ids, strict=True))
    ]
