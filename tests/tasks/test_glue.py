"""GLUE-like tables: pairs and single sentences, with and without header, from files and from the hub."""

import re
from pathlib import Path
from typing import Any

import pytest

from tasks import files, glue
from tasks.rows import Pair

SHARED = Path(__file__).parents[2] / "../shared/data/glue"
RTE: dict[str, Any] = {
    "labels": ["entailment", "not_entailment"],
    "columns": {"first": "sentence1", "second": "sentence2", "label": "label", "id": "index"},
}
shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the public data sets are not here")


def test_read_pairs(tmp_path: Path) -> None:
    header = "index\tsentence1\tsentence2\tlabel\n"
    (tmp_path / "train.tsv").write_text(header + '5\tA "b.\tB.\tnot_entailment\n')
    (tmp_path / "dev.tsv").write_text(header + "0\tC.\tD.\tentailment\n")
    assert glue.read(**RTE, data_dir=str(tmp_path)) == {
        "train": [Pair('A "b.', "B.", 1, "5")],
        "val": [Pair("C.", "D.", 0, "0")],
    }


def test_read_single_sentences_by_column_number(tmp_path: Path) -> None:
    (tmp_path / "in.tsv").write_text("gj\t1\t\tGood.\ngj\t0\t*\tBad.\n")
    rows = glue.read(["0", "1"], {"first": 3, "label": 1}, str(tmp_path), names={"train": "in.tsv"})
    assert rows == {"train": [Pair("Good.", None, 1, "0"), Pair("Bad.", None, 0, "1")]}


def test_read_json_lines(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"claim": "A", "fact": "B", "label": 1}\n')
    columns = {"first": "claim", "second": "fact", "label": "label"}
    assert glue.read(["0", "1"], columns, str(tmp_path), names={"val": "a.jsonl"})["val"] == [Pair("A", "B", 1, "0")]


def test_labels_may_be_numbers_on_either_side(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": "A", "label": 1}\n{"a": "B", "label": "0"}\n')
    rows = glue.read([0, 1], {"first": "a", "label": "label"}, str(tmp_path), names={"val": "a.jsonl"})["val"]
    assert [row.label for row in rows] == [1, 0]


def test_read_from_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"s1": "A", "s2": "B", "label": 1, "idx": 3}
    asked = []
    monkeypatch.setattr(files, "hub", lambda *name: asked.append(name) or {"train": [row], "validation": [row]})
    columns = {"first": "s1", "second": "s2", "label": "label", "id": "idx"}
    data = glue.read(**RTE, hub_config="rte", hub_columns=columns)
    assert asked == [("nyu-mll/glue", "rte")]
    assert data == {"train": [Pair("A", "B", 1, "3")], "val": [Pair("A", "B", 1, "3")]}


def test_illegal_unlabelled_row_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"sentence1": "A", "sentence2": "B", "label": -1, "index": 3}
    monkeypatch.setattr(files, "hub", lambda *name: {"train": [row]})
    with pytest.raises(ValueError, match="nyu-mll/glue train, row 0: unknown label '-1'"):
        glue.read(**RTE, hub_config="rte", hub_splits={"train": "train"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"columns": RTE["columns"] | {"frist": "x"}},
            "unknown key 'task.data.columns.frist'; did you mean 'first'?",
        ),
        ({"columns": {"first": "x"}}, "'task.data.columns.label' is missing"),
        ({"columns": {"label": "x"}}, "'task.data.columns.first' is missing"),
        ({"hub_columns": {"label": "x"}}, "'task.data.hub_columns.first' is missing"),
        ({"names": {"dev": "dev.tsv"}}, "unknown key 'task.data.names.dev'; there are train, val"),
        ({"hub_splits": {"trian": "train"}}, "unknown key 'task.data.hub_splits.trian'; did you mean 'train'?"),
        ({"labels": "abc"}, "task.module.labels=abc is not a list"),
        ({"labels": ["one"]}, "task.module.labels=['one'] names fewer than two classes"),
        ({"labels": [1, "0", "1"]}, "task.module.labels=['1', '0', '1'] names a class twice"),
    ],
)
@pytest.mark.parametrize("data_dir", [None, "nowhere"])
def test_illegal_arguments(changes: dict[str, Any], message: str, data_dir: str | None) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        glue.read(**RTE | changes, data_dir=data_dir)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("sentence\tsentence2\tlabel\tindex\na\tb\tentailment\t0\n", "line 2: no field 'sentence1'; did you mean"),
        ("sentence1\tsentence2\tlabel\tindex\na\tb\tentails\t0\n", "line 2: unknown label 'entails'; did you mean"),
    ],
)
def test_illegal_table(tmp_path: Path, table: str, message: str) -> None:
    (tmp_path / "train.tsv").write_text(table)
    with pytest.raises(ValueError, match=message):
        glue.read(**RTE, data_dir=str(tmp_path), names={"train": "train.tsv"})


@shared
@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "arguments", "train", "val"),
    [
        ("RTE", RTE, [1249, 1241], [146, 131]),
        (
            "MRPC",
            {"labels": ["0", "1"], "columns": {"first": "#1 String", "second": "#2 String", "label": "Quality"}},
            [1194, 2474],
            [129, 279],
        ),
        (
            "CoLA",
            {"labels": ["0", "1"], "columns": {"first": 3, "label": 1}},
            [2528, 6023],
            [322, 721],
        ),
        ("SST-2", {"labels": ["0", "1"], "columns": {"first": "sentence", "label": "label"}}, None, [428, 444]),
    ],
)
def test_the_published_files(name: str, arguments: dict[str, Any], train: list[int] | None, val: list[int]) -> None:
    data = glue.read(**arguments, data_dir=str(SHARED / name))
    counts = {split: [sum(row.label == label for row in rows) for label in (0, 1)] for split, rows in data.items()}
    assert counts["val"] == val
    assert sum(counts["train"]) == 20000 if train is None else counts["train"] == train
