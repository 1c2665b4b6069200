"""Regression: a number for a sentence or a pair of sentences."""

import warnings
from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics import Metric, PearsonCorrCoef, SpearmanCorrCoef
from torchmetrics.utilities import dim_zero_cat
from transformers import AutoModelForSequenceClassification

from tasks.batches import Batch, sequences
from tasks.classification import encoded
from tasks.encoding import room
from tasks.recipe import Recipe
from tasks.rows import Pair
from tasks.task import Model, Task


@final
class Regression(Task):
    """Predicts a number by a head with one output; the loss is the squared error.

    The first metric, Spearman's rank correlation unless others are given, says which checkpoint is best.

    Args:
        data: pairs by split, whose labels are numbers; with `second` None in all rows of a split, single sentences.
        model: where the network and the tokenizer come from.
        recipe: how it is trained.
        low, high: the ends of the scale of labels. Predictions are not cut to it, except in a submission.
        max_length: most tokens per sequence; None allows what the model does.
        metrics: measures of (predictions, labels) by name.
        submission: split -> file of a benchmark's server that its predictions are also written to.

    Raises:
        ValueError: a row has a label beyond the scale.
    """

    def __init__(
        self,
        data: Mapping[str, Sequence[Pair]],
        model: Model,
        recipe: Recipe,
        low: float,
        high: float,
        max_length: int | None = None,
        metrics: Mapping[str, Metric] | None = None,
        submission: Mapping[str, str] | None = None,
    ) -> None:
        for split, row in ((split, row) for split, rows in data.items() for row in rows):
            if row.label is not None and not low <= row.label <= high:
                raise ValueError(
                    f"row {row.id} of the split '{split}' has label {row.label}; the scale of task.module.low and high"
                    f" goes from {low} to {high}"
                )
        network = model.build(AutoModelForSequenceClassification, num_labels=1, problem_type="regression")
        tokenizer = model.tokenizer()
        length = room(network.config, max_length)
        super().__init__(
            network=network,
            tokenizer=tokenizer,
            data=data,
            examples={split: encoded(tokenizer, rows, length) for split, rows in data.items()},
            collate=sequences,
            metrics=metrics or {"spearman": spearman(), "pearson": PearsonCorrCoef()},
            recipe=recipe,
            submission=submission,
        )
        self.scale = low, high

    def logits(self, scores: Tensor, batch: Batch) -> Tensor:
        """Outputs of the head, shape (batch, 1)."""
        return scores

    def criterion(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The squared error of each example, (batch,)."""
        return functional.mse_loss(logits.squeeze(1), labels.float(), reduction="none")

    def predictions(self, logits: Tensor) -> Tensor:
        """The number that is predicted of each example, (batch,)."""
        return logits.squeeze(1)

    def submitted(self, value: float) -> str:
        """A prediction within the scale, with three decimals."""
        low, high = self.scale
        return f"{min(max(value, low), high):.3f}"


def spearman() -> Metric:
    """Spearman's rank correlation, which keeps all predictions and labels, without a warning of that."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Metric `Spearman")
        return Spearman()


@final
class Spearman(SpearmanCorrCoef):
    """NaN where predictions or labels are constant, as in scipy; torchmetrics itself has 0, and NaN for Pearson's."""

    def compute(self) -> Tensor:
        found = super().compute()
        constant = any((values == values[0]).all() for values in map(dim_zero_cat, (self.preds, self.target)))
        return torch.full_like(found, torch.nan) if constant else found
