"""CommonsenseQA (and OpenBookQA, see test_questions.py): the same question from the original file and from the hub."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import instantiate

from tasks import answer_key, files
from tasks.rows import Question
from tests.conftest import composed

SHARED = Path(__file__).parents[2] / "../shared/data/commonsenseqa"
QUESTION = Question("Where is it?", ("here", "there", "nowhere"), 1, "q7")


def commonsense_qa(*overrides: str) -> dict[str, list[Question]]:
    return instantiate(composed("task=commonsense_qa", *overrides).task.data, _convert_="all")  # type: ignore[no-any-return]


def original(**changes: Any) -> dict[str, Any]:
    choices = [{"label": label, "text": text} for label, text in zip("ABC", QUESTION.choices, strict=True)]
    row = {
        "answerKey": "B",
        "id": "q7",
        "question": {"question_concept": "it", "stem": "Where is it?", "choices": choices},
    }
    return row | changes


def hub(**changes: Any) -> dict[str, Any]:
    choices = {"label": ["A", "B", "C"], "text": list(QUESTION.choices)}
    return {"answerKey": "B", "id": "q7", "question": "Where is it?", "choices": choices} | changes


def test_read_from_files(tmp_path: Path) -> None:
    line = json.dumps(original()) + "\n"
    (tmp_path / "train_rand_split.jsonl.gz").write_bytes(gzip.compress(line.encode() * 2))
    (tmp_path / "dev_rand_split.jsonl").write_text(line)
    assert commonsense_qa(f"task.data_dir={tmp_path}") == {"train": [QUESTION] * 2, "val": [QUESTION]}


def test_read_from_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    splits = {"train": [hub()], "validation": [hub(answerKey="C")], "test": [hub(answerKey="")]}
    monkeypatch.setattr(files, "hub", lambda *name: splits)
    data = commonsense_qa()
    assert data["train"] == [QUESTION]
    assert data["val"][0].label == 2
    assert [row.label for row in data["test"]] == [None]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (original(answerKey="D"), "here: unknown label 'D'; there are A, B, C"),
        (original(question={"stem": "x", "choices": [{"label": "A", "text": "one"}]}), "here: 1 choices"),
        (original(question={"choices": []}), "here: no field 'stem'"),
        (original(question="text"), "here: field 'question' is str, expected dict"),
        (original(question={"stem": "x", "choices": [{"label": "A"}]}), "here: no field 'text'"),
        (
            original(question={"stem": "x", "choices": ["A"]}),
            "here: expected an object with the field 'label', found str",
        ),
    ],
)
def test_illegal_rows(row: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        answer_key.from_file(("here", row))


def test_illegal_hub_rows() -> None:
    with pytest.raises(ValueError, match="here: 3 texts for 1 labels"):
        answer_key.from_hub(("here", hub(choices={"label": ["A"], "text": list(QUESTION.choices)})))
    with pytest.raises(ValueError, match="here: two choices have the label 'A'"):
        answer_key.from_hub(("here", hub(choices={"label": ["B", "A", "A"], "text": list(QUESTION.choices)})))


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="the public data sets are not here")
def test_the_published_files() -> None:
    data = commonsense_qa(f"task.data_dir={SHARED}")
    assert {split: len(rows) for split, rows in data.items()} == {"train": 9741, "val": 1221, "test": 1140}
    assert {row.label for row in data["test"]} == {None}
    assert all(len(row.choices) == 5 for rows in data.values() for row in rows)
    assert data["train"][0].choices[data["train"][0].label or 0] == "ignore"
