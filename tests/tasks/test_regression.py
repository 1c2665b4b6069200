"""Regression: the squared error of one output, correlations as scipy has them, and losses that it cannot take."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import pearsonr, spearmanr

from tasks.debiasing import ProductOfExperts
from tasks.losses import Supervised
from tasks.regression import Regression, spearman
from tasks.rows import Pair
from tests.tasks.test_task import MODEL, RECIPE, WORDS, trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")


def rows(count: int, label: float | None = 0.0) -> list[Pair]:
    return [
        Pair(
            " ".join(WORDS[: index % 6 + 1]), WORDS[index % 5], None if label is None else label + index % 6, str(index)
        )
        for index in range(count)
    ]


def regression(**changes: Any) -> Regression:
    torch.manual_seed(0)
    given = {"data": {"train": rows(24), "val": rows(13), "test": rows(5, None)}, "low": 0, "high": 5}
    return Regression(**{"model": MODEL, "recipe": replace(RECIPE, loss=Supervised())} | given | changes)


def test_loss_and_metrics(tmp_path: Path) -> None:
    task = regression()
    run = trainer(tmp_path)
    found = run.validate(task, verbose=False)[0]
    run.test(task, verbose=False)
    task.write_predictions(tmp_path)
    said = torch.cat([task.outputs(batch).logits for batch in task.eval().val_dataloader()[0]]).squeeze(1).detach()
    labels = torch.cat([batch["labels"] for batch in task.val_dataloader()[0]])
    assert task.network.config.num_labels == 1
    assert labels.dtype == torch.float32
    assert found["val/loss"] == pytest.approx((said - labels).square().mean().item(), rel=1e-5)
    assert found["val/pearson"] == pytest.approx(pearsonr(said, labels).statistic, abs=1e-4)
    assert found["val/spearman"] == pytest.approx(spearmanr(said, labels).statistic, abs=1e-5)
    assert task.monitor == "val/spearman"
    assert '"label": null' in (tmp_path / "predictions" / "test.jsonl").read_text()


@pytest.mark.parametrize(
    ("said", "labels"), [([2.0, 2.0, 2.0], [1.0, 2.0, 3.0]), ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]), ([1.0], [1.0])]
)
def test_nothing_correlates_with_what_is_constant(said: list[float], labels: list[float]) -> None:
    metric = spearman()
    metric.update(torch.tensor(said), torch.tensor(labels))
    assert metric.compute().isnan()
    metric.reset()
    metric.update(torch.tensor([*said, 5.0]), torch.tensor([*labels, 4.0]))
    metric.update(torch.tensor([0.0]), torch.tensor([0.0]))
    assert metric.compute() > 0


def test_it_learns_numbers(tmp_path: Path) -> None:
    task = regression(recipe=replace(RECIPE, loss=Supervised(), steps=lambda examples: 60))
    run = trainer(tmp_path, max_steps=60, inference_mode=False)
    before = run.validate(task, verbose=False)[0]["val/loss"]
    run.fit(task)
    assert run.validate(task, verbose=False)[0]["val/loss"] < before / 2


@pytest.mark.parametrize(("value", "text"), [(-0.3, "0.000"), (5.2, "5.000"), (2.71828, "2.718")])
def test_a_submission_is_within_the_scale(value: float, text: str) -> None:
    assert regression().submitted(value) == text


def test_illegal_label() -> None:
    with pytest.raises(ValueError, match=r"row 5 of the split 'train' has label 6\.0; the scale .* goes from 0 to 5"):
        regression(data={"train": rows(6, 1.0), "val": rows(6)})


def test_illegal_loss_of_classes() -> None:
    with pytest.raises(ValueError, match="a debiasing loss needs texts or pairs with classes"):
        regression(recipe=replace(RECIPE, loss=ProductOfExperts()))
