"""What a task's metric comes to by guessing."""

import math
from collections import Counter
from typing import Any

from torchmetrics import PearsonCorrCoef, SpearmanCorrCoef
from torchmetrics.classification import (
    BinaryAccuracy,
    BinaryMatthewsCorrCoef,
    MulticlassAccuracy,
    MulticlassMatthewsCorrCoef,
)

CORRELATIONS = (PearsonCorrCoef, SpearmanCorrCoef, BinaryMatthewsCorrCoef, MulticlassMatthewsCorrCoef)
ERRORS = 2  # standard errors by which a guess may be lucky


def chance_level(task: Any) -> float | None:
    """Returns the most that guessing gets of a task's monitored metric on its validation split.

    Of accuracy that is the share of the most frequent label, or what drawing at random gets with two standard errors of
    luck, whichever is more; of a correlation the luck alone. Other metrics have no such level: None.
    """
    examples = task.examples["val"]
    metric = dict(task.metrics["val"].items()).get(task.monitor.removeprefix("val/"))
    if isinstance(metric, CORRELATIONS):
        return ERRORS / math.sqrt(len(examples))
    if not isinstance(metric, BinaryAccuracy | MulticlassAccuracy) or getattr(metric, "average", "micro") != "micro":
        return None
    classes = getattr(metric, "num_classes", 2)
    choices = [len(example.ids) if len(example.ids) > 1 else classes for example in examples]
    drawn = sum(1 / count for count in choices) / len(examples)
    luck = ERRORS * math.sqrt(drawn * (1 - drawn) / len(examples))
    return max(max(Counter(example.label for example in examples).values()) / len(examples), drawn + luck)
