"""What guessing comes to, by hand."""

import math
from types import SimpleNamespace

import pytest
from torchmetrics import PearsonCorrCoef
from torchmetrics.classification import (
    BinaryAccuracy,
    BinaryF1Score,
    MulticlassAccuracy,
    MulticlassMatthewsCorrCoef,
)

from tasks.chance import chance_level


def level(metric, labels, choices=1):
    examples = [SimpleNamespace(label=label, ids=[[0]] * choices) for label in labels]
    return chance_level(SimpleNamespace(monitor="val/m", metrics={"val": {"m": metric}}, examples={"val": examples}))


def test_of_accuracy_it_is_the_most_frequent_label_where_that_is_more_than_luck():
    assert level(BinaryAccuracy(), [1] * 84 + [0] * 16) == 0.84
    assert level(MulticlassAccuracy(num_classes=3, average="micro"), [0] * 60 + [1] * 20 + [2] * 20) == 0.6


def test_and_else_what_drawing_gets_with_two_standard_errors():
    assert level(BinaryAccuracy(), [0, 1] * 50) == pytest.approx(0.5 + 2 * 0.05)
    four = MulticlassAccuracy(num_classes=4, average="micro")
    assert level(four, [0, 1, 2, 3] * 25) == pytest.approx(0.25 + 2 * math.sqrt(0.25 * 0.75 / 100))
    # With two choices in each question, of at most four.
    assert level(four, [0, 1] * 50, choices=2) == pytest.approx(0.6)


def test_of_a_correlation_it_is_luck_alone():
    for metric in (PearsonCorrCoef(), MulticlassMatthewsCorrCoef(num_classes=3)):
        assert level(metric, [0, 1] * 50) == 0.2


def test_other_metrics_have_none():
    assert level(BinaryF1Score(), [0, 1]) is None
    assert level(MulticlassAccuracy(num_classes=2, average="macro"), [0, 1]) is None
    other = SimpleNamespace(monitor="val/perplexity", metrics={"val": {"m": BinaryAccuracy()}}, examples={"val": []})
    assert chance_level(other) is None
