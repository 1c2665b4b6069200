"""Predictions: in the order of the rows whatever that of batches and ranks, whole or not at all, and fast."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks import predictions
from tasks.predictions import Predictions, Said, joined
from tasks.rows import Pair


def said(*index: int, classes: int = 2) -> Said:
    """Row i has the scores i, i + 1 ... and the prediction i % 2."""
    scores = torch.tensor([[float(i + c) for c in range(classes)] for i in index])
    return Said(torch.tensor(index), scores, torch.tensor([i % 2 for i in index]))


def rows(count: int, label: int | None = 1) -> list[Pair]:
    return [Pair("a", None, label, f"r{index}") for index in range(count)]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_order_is_that_of_the_rows(tmp_path: Path) -> None:
    kept = Predictions()
    kept.add("ood/x", said(4, 0), anew=True)
    kept.add("ood/x", said(3, 1, 2), anew=False)
    kept.write(tmp_path, {"ood/x": rows(5)}, ["no", "yes"].__getitem__)
    found = lines(tmp_path / "predictions" / "ood" / "x.jsonl")
    assert found[3] == {"id": "r3", "scores": [3.0, 4.0], "prediction": "yes", "label": "yes"}
    assert [line["id"] for line in found] == ["r0", "r1", "r2", "r3", "r4"]
    assert [line["scores"][0] for line in found] == [0, 1, 2, 3, 4]


def test_a_new_evaluation_replaces_the_one_before(tmp_path: Path) -> None:
    kept = Predictions()
    for _ in range(2):
        kept.add("val", said(1), anew=True)
        kept.add("val", said(0), anew=False)
    kept.write(tmp_path, {"val": rows(2, None)}, int)
    assert [line["label"] for line in lines(tmp_path / "predictions" / "val.jsonl")] == [None, None]


def test_absent_choices_have_no_score(tmp_path: Path) -> None:
    part = Said(torch.tensor([0]), torch.tensor([[1.0, -torch.inf]]), torch.tensor([0]))
    kept = Predictions()
    kept.add("val", part, anew=True)
    kept.add("val", said(1, classes=3), anew=False)
    kept.write(tmp_path, {"val": rows(2)}, int)
    assert [len(line["scores"]) for line in lines(tmp_path / "predictions" / "val.jsonl")] == [1, 3]


def test_scores_are_the_float32_numbers(tmp_path: Path) -> None:
    scores = torch.rand(50, 3, generator=torch.Generator().manual_seed(0))
    kept = Predictions()
    kept.add("val", Said(torch.arange(50), scores, scores.argmax(1)), anew=True)
    kept.write(tmp_path, {"val": rows(50)}, int)
    written = [line["scores"] for line in lines(tmp_path / "predictions" / "val.jsonl")]
    assert torch.equal(torch.tensor(written), scores)


def test_submission(tmp_path: Path) -> None:
    kept = Predictions()
    kept.add("test", said(1, 2, 0), anew=True)
    kept.submit(tmp_path, {"test": "RTE", "elsewhere": "X"}, ["entailment", "not_entailment"].__getitem__)
    text = (tmp_path / "submission" / "RTE.tsv").read_text()
    assert text == "index\tprediction\n0\tentailment\n1\tnot_entailment\n2\tentailment\n"
    assert len(list((tmp_path / "submission").iterdir())) == 1


def test_ranks_have_a_part_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gather(ranks: list[Any], mine: Any) -> None:
        ranks[:] = [mine, {"val": joined([said(2, 0)]), "test": joined([said(0)])}]

    for name, value in {"is_initialized": True, "get_world_size": 2, "get_rank": 0}.items():
        monkeypatch.setattr(predictions.distributed, name, lambda value=value: value)
    monkeypatch.setattr(predictions.distributed, "all_gather_object", gather)
    kept = Predictions()
    kept.add("val", said(3, 1), anew=True)
    kept.write(tmp_path / "0", {"val": rows(4), "test": rows(1)}, int)  # a rank may have no row of a small split
    assert [line["scores"][0] for line in lines(tmp_path / "0" / "predictions" / "val.jsonl")] == [0, 1, 2, 3]
    assert len(lines(tmp_path / "0" / "predictions" / "test.jsonl")) == 1
    monkeypatch.setattr(predictions.distributed, "get_rank", lambda: 1)
    kept.write(tmp_path / "1", {"val": rows(4), "test": rows(1)}, int)
    assert not (tmp_path / "1").exists()


def test_an_interrupted_writing_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(predictions.os, "replace", stopped)
    kept = Predictions()
    kept.add("val", said(0, 1), anew=True)
    with pytest.raises(KeyboardInterrupt):
        kept.write(tmp_path, {"val": rows(2)}, int)
    assert not (tmp_path / "predictions" / "val.jsonl").exists()


def test_thirty_thousand_rows_take_a_moment(tmp_path: Path) -> None:
    kept = Predictions()
    for start in range(0, 30000, 32):
        part = range(start, min(start + 32, 30000))
        kept.add("ood/hans", said(*part, classes=3), anew=start == 0)
    data = {"ood/hans": rows(30000)}
    begun = time.monotonic()
    kept.write(tmp_path, data, str)
    assert time.monotonic() - begun < 10  # half a second where nothing else runs
