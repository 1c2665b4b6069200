"""What is measured on a split: the task's loss and metrics, over all rows and over parts of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MeanMetric, Metric

from tasks.batches import Batch
from tasks.losses import Outputs

Criterion = Callable[[Tensor, Tensor], Tensor]


@final
class Measures(nn.ModuleDict):
    """The metrics of a split by name, the mean "loss" last; `<metric>_<part>` is that of the rows of a part.

    A row may name the `parts` that it is in and the classes that are `also` right for it. A prediction of one of those
    counts as the row's label, and its loss is that of their joint probability.

    Args:
        metrics: measures of (predictions, labels).
        rows: of the split.
    """

    def __init__(self, metrics: Mapping[str, Metric], rows: Sequence[Any]) -> None:
        # Not all kinds of rows have parts, or classes.
        members, others = ([tuple(getattr(row, key, ())) for row in rows] for key in ("parts", "also"))
        self.parts = list(dict.fromkeys(part for named in members for part in named))
        names = {f"{name}_{part}": metric for part in self.parts for name, metric in metrics.items()}
        own = {name: metric.clone() for name, metric in {**metrics, **names}.items()}
        super().__init__({**own, "loss": MeanMetric(nan_strategy=float("inf"))})
        self.names = list(metrics)
        self.register_buffer("membership", _table(members, self.parts), persistent=False)
        classes = range(max((index for named in others for index in named), default=-1) + 1)
        self.register_buffer("also", _table(others, classes), persistent=False)

    def update_from(self, outputs: Outputs, predictions: Tensor, batch: Batch, criterion: Criterion) -> None:
        """Takes in a batch.

        Args:
            predictions: of the examples, (batch,).
            batch: `index` (batch,) says which rows of the split they are.
            criterion: the loss of each example by logits and labels.
        """
        measures: Any = self
        losses, labels = outputs.losses, outputs.labels
        if measures.also.shape[1]:
            also = measures.also[batch["index"]]
            also = functional.pad(also, (0, outputs.logits.shape[1] - also.shape[1]))
            losses = criterion(merged(outputs.logits, labels, also), labels)
            predictions = torch.where(also.gather(1, predictions[:, None])[:, 0], labels, predictions)
        measures["loss"].update(losses.mean(), weight=len(labels))
        for name in self.names:
            measures[name].update(predictions, labels)
        for column, part in enumerate(self.parts):
            inside = measures.membership[batch["index"], column]
            for name in self.names if inside.any() else ():  # torchmetrics takes no empty batches
                measures[f"{name}_{part}"].update(predictions[inside], labels[inside])


def merged(logits: Tensor, labels: Tensor, also: Tensor) -> Tensor:
    """Logits in which the label's class has the probability of all classes that are right, the others of which none.

    Args:
        logits: (batch, classes).
        labels: (batch,).
        also: which classes are right beside the label, bool of shape (batch, classes).
    """
    own = functional.one_hot(labels, logits.shape[1]).bool()
    together = logits.masked_fill(~(own | also), -torch.inf).logsumexp(-1, keepdim=True)
    return torch.where(own, together, logits.masked_fill(also, -torch.inf))


def _table(named: Sequence[Sequence[Any]], columns: Sequence[Any]) -> Tensor:
    """Which of the columns each row names, bool of shape (rows, columns)."""
    place = {column: index for index, column in enumerate(columns)}
    table = torch.zeros(len(named), len(place), dtype=torch.bool)
    for row, names in enumerate(named):
        table[row, [place[name] for name in names]] = True
    return table
