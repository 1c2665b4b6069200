"""Multiple-choice data sets as their authors ship them, quirks included, read as `task=` reads them."""

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import instantiate

from tasks import files, questions
from tasks.rows import Question
from tests.conftest import composed

SHARED = Path(__file__).parents[2] / "../shared/data"
shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the public data sets are not here")

PIQA = [
    {"id": "x", "goal": "dresser", "sol1": "replace drawer with bobby pin ", "sol2": ""},
    {"goal": "To {fill} a cup?", "sol1": "pour \u2028 water", "sol2": "pour sand"},
]
SIQA = [{"context": "Tracy left.", "question": "Why?", "answerA": "to eat", "answerB": "to rest", "answerC": "both"}]
COSMOS = (
    "id,context,question,answer0,answer1,answer2,answer3,label\r\n"
    'a##1,"He said ""no"" ,\ntwice",Why ?,a b,c,"d, e",None of the above choices .,3\r\n'
)
COSMOS_ROW = {
    **{"id": "a##1", "context": 'He said "no" ,\ntwice', "question": "Why ?", "answer0": "a b", "answer1": "c"},
    **{"answer2": "d, e", "answer3": "None of the above choices .", "label": "3"},
}
CSQA2 = [{"id": "c", "question": "A map is old?", "answer": "no", "confidence": 0.9, "validations": ["yes", "no"]}]
WINOGRANDE = [
    {"qID": "3-1", "sentence": "The case held _'s cup.", "option1": "Ann", "option2": "Bo", "answer": "2"},
    {"qID": "3-2", "sentence": "_ was late.", "option1": "Ann", "option2": "Bo", "answer": "1"},
]
LETTERED = [{"text": text, "label": label} for text, label in zip(["w", "x", "y", "z (D) z"], "ABCD", strict=True)]
OPENBOOK = [{"id": "7-1", "question": {"stem": "The sun", "choices": LETTERED}, "answerKey": "D"}]
TABLE = (
    "ID\tQuestion Stem\tChoices\tComplete Question\tAnswer Key\n"
    '7-1\tThe sun\t(A) w (B) x (C) y (D) z (D) z\t"The sun (A) w (B) x (C) y (D) z (D) z\tD\n'
)
EXPECTED = {
    "piqa": [
        Question("dresser", ("replace drawer with bobby pin ", ""), 0, "0"),
        Question("To {fill} a cup?", ("pour \u2028 water", "pour sand"), 1, "1"),
    ],
    "siqa": [Question("Tracy left. Why?", ("to eat", "to rest", "both"), 2, "0")],
    "cosmosqa": [
        Question('He said "no" ,\ntwice Why ?', ("a b", "c", "d, e", "None of the above choices ."), 3, "a##1")
    ],
    "csqa2": [Question("A map is old?", ("yes", "no"), 1, "c")],
    "winogrande": [
        Question("The case held", ("Ann's cup.", "Bo's cup."), 1, "3-1"),
        Question("", ("Ann was late.", "Bo was late."), 0, "3-2"),
    ],
    "openbookqa": [Question("The sun", ("w", "x", "y", "z (D) z"), 3, "7-1")],
}


def jsonl(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


ORIGINALS: dict[str, list[dict[str, str]]] = {
    "piqa": [
        {
            "train.jsonl": jsonl(PIQA),
            "train-labels.lst": "0\n1",
            "dev.jsonl": jsonl(PIQA),
            "dev-labels.lst": "0\r\n1\r\n",
        },
        {
            "train.jsonl": jsonl(PIQA),
            "train-labels.lst": "0\n1",
            "valid.jsonl": jsonl(PIQA),
            "valid-labels.lst": "0\n1\n",
        },
    ],
    "siqa": [
        {"train.jsonl": jsonl(SIQA), "train-labels.lst": "3\n", "dev.jsonl": jsonl(SIQA), "dev-labels.lst": "3\n"}
    ],
    "cosmosqa": [
        {"train.csv": COSMOS, "valid.csv": COSMOS},
        {
            "train.csv": COSMOS,
            "valid.jsonl": jsonl([COSMOS_ROW]),
        },
    ],
    "csqa2": [
        {"CSQA2_train.json": jsonl(CSQA2), "CSQA2_dev.json": jsonl(CSQA2)},
        {"train.jsonl": jsonl(CSQA2), "dev.jsonl": jsonl(CSQA2)},
    ],
    "winogrande": [{"train_xl.jsonl": jsonl(WINOGRANDE), "dev.jsonl": jsonl(WINOGRANDE), "dev-labels.lst": "2\n1\n"}],
    "openbookqa": [
        {f"{split}.jsonl": jsonl(OPENBOOK) for split in ("train", "dev", "test")},
        {f"{split}.tsv": TABLE for split in ("train", "dev", "test")},
    ],
}


def write(folder: Path, contents: Mapping[str, str], compressed: bool = False) -> None:
    for name, text in contents.items():
        if compressed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / name).write_bytes(text.encode())


def data(task: str, *overrides: str) -> dict[str, list[Question]]:
    return instantiate(composed(f"task={task}", *overrides).task.data, _convert_="all")  # type: ignore[no-any-return]


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("task", "contents"), [(task, contents) for task, forms in ORIGINALS.items() for contents in forms]
)
def test_original_files(tmp_path: Path, task: str, contents: dict[str, str], compressed: bool) -> None:
    write(tmp_path, contents, compressed)
    splits = {"train", "val", "test"} if task == "openbookqa" else {"train", "val"}
    assert data(task, f"task.data_dir={tmp_path}") == dict.fromkeys(splits, EXPECTED[task])


def without(row: dict[str, Any], *fields: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in fields}


UNLABELLED: dict[str, dict[str, list[dict[str, Any]]]] = {
    "piqa": {"tests.jsonl": PIQA},
    "siqa": {"test.jsonl": SIQA},
    "cosmosqa": {"test.jsonl": [without(COSMOS_ROW, "label")]},
    "csqa2": {
        "test.jsonl": [without(CSQA2[0], "answer", "confidence", "validations")],
        "CSQA2_test_no_answers.json": [without(CSQA2[0], "answer")],
    },
    "winogrande": {"test.jsonl": [row | {"answer": ""} for row in WINOGRANDE]},
    "openbookqa": {"test.jsonl": [without(OPENBOOK[0], "answerKey")]},
}


@pytest.mark.parametrize(
    ("task", "name", "rows"), [(task, name, rows) for task, each in UNLABELLED.items() for name, rows in each.items()]
)
def test_a_test_split_needs_no_labels(tmp_path: Path, task: str, name: str, rows: list[dict[str, Any]]) -> None:
    write(tmp_path, ORIGINALS[task][0] | {name: jsonl(rows)})
    read = data(task, f"task.data_dir={tmp_path}")
    assert read["test"] == [replace(question, label=None) for question in EXPECTED[task]]
    assert read["val"] == EXPECTED[task]


def test_a_test_split_may_have_labels(tmp_path: Path) -> None:
    write(tmp_path, ORIGINALS["piqa"][0] | {"tests.jsonl": jsonl(PIQA), "tests.lst": "0\n1\n"})
    assert (
        data("piqa", f"task.data_dir={tmp_path}", "+task.data.label_names.test=[tests.lst]")["test"] == EXPECTED["piqa"]
    )


@pytest.mark.parametrize("nothing", [None, "", -1])
def test_the_hub_says_in_many_ways_that_there_is_no_label(monkeypatch: pytest.MonkeyPatch, nothing: Any) -> None:
    splits = {"train": PIQA, "validation": PIQA}
    labelled = {split: [row | {"label": number} for number, row in enumerate(rows)] for split, rows in splits.items()}
    blind = {"test": [row | {"label": nothing} for row in PIQA]}
    monkeypatch.setattr(files, "hub", lambda *_: labelled | blind)
    assert [row.label for row in data("piqa")["test"]] == [None, None]
    monkeypatch.setattr(files, "hub", lambda *_: labelled)
    assert data("piqa").keys() == {"train", "val"}
    monkeypatch.setattr(files, "hub", lambda *_: blind | {"train": blind["test"], "validation": PIQA})
    with pytest.raises(
        Exception, match=r"baber/piqa train, row 0: no label among .*label; only rows of the split 'tes"
    ):
        data("piqa")


def test_the_size_of_winogrande_names_its_file(tmp_path: Path) -> None:
    write(tmp_path, {"train_xs.jsonl": jsonl(WINOGRANDE[:1]), "dev.jsonl": jsonl(WINOGRANDE)})
    read = data("winogrande", f"task.data_dir={tmp_path}", "task.data.size=xs")
    assert [len(read["train"]), len(read["val"])] == [1, 2]
    with pytest.raises(Exception, match=r"task\.data\.size=sx is no training set; did you mean"):
        data("winogrande", f"task.data_dir={tmp_path}", "task.data.size=sx")


HUB: dict[str, tuple[tuple[str | None, ...], list[dict[str, Any]]]] = {
    "piqa": (("baber/piqa", None, None), [row | {"label": label} for label, row in enumerate(PIQA)]),
    "siqa": (("lighteval/siqa", None, None), [SIQA[0] | {"label": "3"}]),
    "cosmosqa": (
        ("allenai/cosmos_qa", None, "refs/convert/parquet"),
        [COSMOS_ROW | {"label": 3}],
    ),
    "csqa2": (("tasksource/commonsense_qa_2.0", None, None), CSQA2),
    "winogrande": (("allenai/winogrande", "winogrande_xl", None), WINOGRANDE),
    "openbookqa": (
        ("allenai/openbookqa", "main", None),
        [
            {
                "id": "7-1",
                "question_stem": "The sun",
                "choices": {"text": ["w", "x", "y", "z (D) z"], "label": ["A", "B", "C", "D"]},
                "answerKey": "D",
            }
        ],
    ),
}


@pytest.mark.parametrize("task", sorted(HUB))
def test_hub(monkeypatch: pytest.MonkeyPatch, task: str) -> None:
    name, rows = HUB[task]
    asked = []

    def hub(*arguments: str | None) -> dict[str, list[dict[str, Any]]]:
        asked.append(arguments)
        return {"train": rows, "validation": rows, "test": rows}

    monkeypatch.setattr(files, "hub", hub)
    assert data(task) == dict.fromkeys(["train", "val", "test"], EXPECTED[task])
    assert asked == [name]


@pytest.mark.parametrize(
    ("task", "name", "text", "message"),
    [
        ("piqa", "train-labels.lst", "0\n", "train-labels.lst has 1 labels for the 2 rows of .*train.jsonl"),
        ("piqa", "dev-labels.lst", "0\n1\n0\n", "dev-labels.lst has 3 labels for the 2 rows of .*dev.jsonl"),
        (
            "piqa",
            "train-labels.lst",
            "0\n2\n",
            r"train.jsonl, line 2 .*train-labels.lst, line 2\): unknown label '2'; there are 0, 1",
        ),
        ("piqa", "train.jsonl", jsonl(PIQA[:1]) + '{"goal": "x", "sol1": "y"}\n', r"line 2 .*: no field 'sol2'"),
        ("piqa", "train.jsonl", '{"goal": 1}\n{}\n', r"line 1 .*: field 'goal' is int, expected str"),
        ("siqa", "dev-labels.lst", "0\n", r"unknown label '0'; there are 1, 2, 3"),
        ("cosmosqa", "train.csv", COSMOS + "b,c\r\n", r"train.csv, line 4: 2 columns where the first line has 8"),
        ("cosmosqa", "train.csv", COSMOS + 'b,"c\r\n', r"train.csv, line 4: not a CSV row \(unexpected end of data"),
        ("cosmosqa", "train.csv", COSMOS.splitlines()[0], r"train.csv: the file is empty after its header"),
        (
            "csqa2",
            "CSQA2_dev.json",
            jsonl([CSQA2[0] | {"answer": "Yes"}]),
            r"line 1: unknown label 'Yes'; did you mean",
        ),
        (
            "winogrande",
            "dev.jsonl",
            jsonl([WINOGRANDE[0] | {"answer": ""}]),
            r"dev.jsonl, line 1: no label among qID, sentence, .*, answer; only rows of the split 'test' need none",
        ),
        (
            "winogrande",
            "test.jsonl",
            jsonl([WINOGRANDE[0] | {"answer": "3"}]),
            r"line 1: unknown label '3'; there are 1",
        ),
        (
            "openbookqa",
            "train.jsonl",
            jsonl([OPENBOOK[0], {"id": "7", "question": OPENBOOK[0]["question"], "answerkey": "A"}]),
            r"train.jsonl, line 2: no label among id, question, answerkey; only rows",
        ),
        (
            "winogrande",
            "dev.jsonl",
            jsonl([WINOGRANDE[0] | {"sentence": "No."}]),
            r"line 1: the sentence has 0 blanks '_'",
        ),
        (
            "winogrande",
            "dev.jsonl",
            jsonl([WINOGRANDE[0] | {"sentence": "_ _"}]),
            r"line 1: the sentence has 2 blanks '_'",
        ),
        ("winogrande", "dev.jsonl", "\n", r"dev.jsonl: the file is empty"),
        (
            "openbookqa",
            "test.jsonl",
            jsonl([OPENBOOK[0] | {"answerKey": "E"}]),
            r"line 1: unknown label 'E'; there are A",
        ),
    ],
)
def test_illegal_files(tmp_path: Path, task: str, name: str, text: str, message: str) -> None:
    write(tmp_path, ORIGINALS[task][0] | {name: text})
    with pytest.raises(Exception, match=message) as raised:
        data(task, f"task.data_dir={tmp_path}")
    assert type(raised.value.__cause__) is ValueError  # Hydra's own says where in the config it was


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ("x (A) w (B) x", "line 2: the choices are not of the form"),
        ("(A) w", "line 2: 1 choices, a question needs two or more"),
        ("w x", "line 2: the choices are not of the form"),
        ("", "line 2: 0 choices, a question needs two or more"),
        ("(A) w (B) x (D) y", "line 2: unknown label 'D'; there are A, B"),
    ],
)
def test_illegal_table_of_choices(tmp_path: Path, choices: str, message: str) -> None:
    write(tmp_path, ORIGINALS["openbookqa"][1] | {"dev.tsv": TABLE.replace("(A) w (B) x (C) y (D) z (D) z", choices)})
    with pytest.raises(Exception, match=message):
        data("openbookqa", f"task.data_dir={tmp_path}")


def test_illegal_missing_labels(tmp_path: Path) -> None:
    write(tmp_path, {"train.jsonl": jsonl(SIQA), "dev.jsonl": jsonl(SIQA), "dev-labels.lst": "3\n"})
    with pytest.raises(Exception, match=r"neither train-labels.lst nor train-labels.lst.gz .*; it has dev-labels.lst"):
        data("siqa", f"task.data_dir={tmp_path}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": {"dev": ["x"]}}, "unknown key 'task.data.names.dev'; there are train, val, test"),
        ({"label_names": {"trian": "x"}}, "unknown key 'task.data.label_names.trian'; did you mean 'train'?"),
        ({"hub_splits": {"vla": "x"}}, "unknown key 'task.data.hub_splits.vla'; did you mean 'val'?"),
    ],
)
def test_illegal_arguments(changes: dict[str, Any], message: str) -> None:
    form = partial(questions.filled, text="{x}", choices=["{y}", "{z}"], labels=["0", "1"])
    arguments: dict[str, Any] = {"form": form, "names": {}, "hub": "x", "hub_splits": {}}
    with pytest.raises(ValueError, match=re.escape(message)):
        questions.read(**arguments | changes)


def test_illegal_number_of_labels() -> None:
    with pytest.raises(ValueError, match=r"task.data.form has 1 labels for 2 choices"):
        questions.filled(("here", {"label": 0}), text="x", choices=["a", "b"], labels=["0"])


@shared
@pytest.mark.shared
def test_the_published_files() -> None:
    openbookqa = data("openbookqa", f"task.data_dir={SHARED / 'openbookqa'}")
    assert {split: len(rows) for split, rows in openbookqa.items()} == {"train": 4957, "val": 500, "test": 500}
    assert all(len(row.choices) == 4 for rows in openbookqa.values() for row in rows)
    assert [openbookqa["train"][0].choices[3], openbookqa["train"][0].label] == [
        "plants sprouting, blooming and wilting",
        3,
    ]
    csqa2 = data("csqa2", f"task.data_dir={SHARED / 'csqa2'}")
    assert [len(csqa2["train"]), len(csqa2["val"]), csqa2["val"][1].label] == [9264, 2541, 1]


@shared
@pytest.mark.shared
@pytest.mark.parametrize(
    ("task", "names", "rows", "labels"),
    [
        ("piqa", {"train": "dev.jsonl"}, 1838, [0, 1, 1]),
        ("siqa", {"train": "dev.jsonl"}, 1954, [2, 0, 1]),
        ("cosmosqa", {"train": "valid.jsonl"}, 2985, [1, 0, 0]),
    ],
)
def test_the_published_files_of_which_only_dev_is_here(
    task: str, names: dict[str, str], rows: int, labels: list[int]
) -> None:
    changes = [f"task.data.names.train=[{names['train']}]"]
    if task != "cosmosqa":
        changes.append("task.data.label_names.train=[dev-labels.lst]")
    read = data(task, f"task.data_dir={SHARED / task}", *changes)
    assert len(read["val"]) == rows
    assert [row.label for row in read["val"]][:3] == labels
