"""Classification of sentences and of sentence pairs."""

from collections.abc import Mapping, Sequence
from typing import final

from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerBase

from tasks.batches import Batch, Example, sequences
from tasks.encoding import pair
from tasks.recipe import Recipe
from tasks.rows import Pair, class_names
from tasks.task import Model, Task, room


@final
class Classification(Task):
    """Chooses one of K classes for a sentence or a pair of sentences.

    Args:
        data: pairs by split; with `second` None in all rows of a split, single sentences.
        model: where the network and the tokenizer come from.
        recipe: how it is trained.
        labels: names of the classes, in the order of the rows' label numbers; saved with the model.
        max_length: most tokens per sequence; None allows what the model does.
        metrics: further measures of (predicted classes, labels) by name, for instance Matthews correlation for CoLA.

    Raises:
        ValueError: there are fewer than two classes or two of one name, or a row has no label among them.
    """

    def __init__(
        self,
        data: Mapping[str, Sequence[Pair]],
        model: Model,
        recipe: Recipe,
        labels: Sequence[str],
        max_length: int | None = None,
        metrics: Mapping[str, Metric] | None = None,
    ) -> None:
        names = dict(enumerate(class_names(labels)))
        network = model.build(
            AutoModelForSequenceClassification,
            id2label=names,
            label2id={name: index for index, name in names.items()},
        )
        tokenizer = model.tokenizer()
        length = room(network, max_length)
        accuracy: Metric = MulticlassAccuracy(num_classes=len(names), average="micro")
        super().__init__(
            network=network,
            tokenizer=tokenizer,
            data=data,
            examples={split: encoded(tokenizer, rows, len(names), length) for split, rows in data.items()},
            collate=sequences,
            metrics={"accuracy": accuracy, **(metrics or {})},
            recipe=recipe,
        )

    def logits(self, scores: Tensor, batch: Batch) -> Tensor:
        """Scores of the classes, shape (batch, K)."""
        return scores


def encoded(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Pair], classes: int, max_length: int) -> list[Example]:
    """Examples with one sequence each.

    Raises:
        ValueError: a row has no label or one outside the classes, or only some rows have a second sentence.
    """
    for row in rows:
        if row.label is None or not 0 <= row.label < classes:
            raise ValueError(f"row {row.id} has label {row.label}; the {classes} classes are numbered from 0")
    seconds = [row.second for row in rows if row.second is not None]
    if seconds and len(seconds) != len(rows):
        raise ValueError(f"only {len(seconds)} of {len(rows)} rows have a second sentence; give it to all or none")
    both = pair(tokenizer, [row.first for row in rows], seconds or None, max_length)
    return [
        Example([ids], None if both.types is None else [both.types[index]], row.label or 0)
        for index, (row, ids) in enumerate(zip(rows, both.ids, strict=True))
    ]
