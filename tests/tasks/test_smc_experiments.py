"""SMC-Bench's experiments as they stand, on a RoBERTa of a few weights and files as the authors ship theirs."""

import json
from pathlib import Path
from typing import Any

import pytest

import train
from runs.settings import check
from tests.conftest import composed

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*exists and is not empty:UserWarning"),
]
CHOICES = [
    {"label": label, "text": text} for label, text in zip("ABCDE", ["he", "she", "it", "we", "they"], strict=True)
]
CSQA = [
    {"answerKey": key, "id": f"q{key}", "question": {"stem": "Who came?", "choices": CHOICES}} for key in "ABCDEABC"
]
WINOGRANDE = [
    {
        "qID": f"{number}",
        "sentence": "Ann helped Bo because _ was late.",
        "option1": "Ann",
        "option2": "Bo",
        "answer": "2",
    }
    for number in range(9)
]
UNANSWERED = [row | {"answer": ""} for row in WINOGRANDE]
RACE = {
    "article": "Ann came late. " * 60,
    "questions": ["Who came?", "_ was late."],
    "options": [["Ann", "Bo", "Cy", "Di"]] * 2,
    "answers": ["A", "A"],
    "id": "1.txt",
}


def write(folder: Path, files: dict[str, list[Any]]) -> None:
    for name, rows in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize(
    ("experiment", "files", "length", "metrics"),
    [
        ("smc_csqa", {"train_rand_split.jsonl": CSQA, "dev_rand_split.jsonl": CSQA}, ["steps=2"], {"val/accuracy"}),
        (
            "smc_winogrande",
            {"train_xl.jsonl": WINOGRANDE, "dev.jsonl": WINOGRANDE, "test.jsonl": UNANSWERED},
            ["steps=2"],
            {"val/accuracy"},
        ),
        (
            "smc_race",
            {f"{split}/{level}/1.txt": [RACE] for split in ("train", "dev", "test") for level in ("middle", "high")},
            [],
            {"val/accuracy", "test/accuracy", "test_middle/accuracy", "test_high/accuracy"},
        ),
    ],
)
def test_the_experiment_runs(
    tmp_path: Path, roberta: Path, experiment: str, files: dict[str, list[Any]], length: list[str], metrics: set[str]
) -> None:
    write(tmp_path / "data", files)
    config = composed(
        *(f"experiment={experiment}", f"model.name={roberta}", f"task.data_dir={tmp_path / 'data'}"),
        *("method=magnitude_before", "sparsity=0.36", f"root={tmp_path / 'runs'}", "trainer.accelerator=cpu", *length),
    )
    check(config, length)
    run = train.obtain(config)
    result = run.result
    if "test.jsonl" in files:  # without answers: predicted and not measured
        lines = [json.loads(line) for line in (run.folder / "predictions" / "test.jsonl").read_text().splitlines()]
        assert [line["id"] for line in lines] == [row["qID"] for row in UNANSWERED]
        assert {line["label"] for line in lines} == {None}
        assert {line["prediction"] for line in lines} <= {0, 1}
    assert {name for name in result["metrics"] if name.endswith("accuracy")} == metrics
    assert result["sparsity"]["scope"] == pytest.approx(0.36, abs=1e-3)
