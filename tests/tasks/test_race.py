"""RACE from its folders, from JSON lines and from the hub: one article a file, a choice for each option."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from models.tiny import Tiny
from tasks import files, race
from tasks.encoding import second_leads
from tasks.rows import Question
from tests.conftest import composed

SHARED = Path(__file__).parents[2] / "../shared/data/race"
ARTICLE = {
    "answers": ["D", "A"],
    "options": [["Ann", "Bo", "Cy", "Di\\1"], ["went;home", "b;b", "c;c", "d;d"]],
    "questions": ["Who came?", "She __ and _ ."],
    "article": "It was late.\nAnn came.",
    "id": "middle7.txt",
}
QUESTIONS = [
    Question(
        "It was late. Ann came.", tuple(f"Who came? {option}" for option in ARTICLE["options"][0]), 3, "middle7.txt-0"
    ),
    Question(
        "It was late. Ann came.",
        ("She went;home and went;home .", "She b;b and b;b .", "She c;c and c;c .", "She d;d and d;d ."),
        0,
        "middle7.txt-1",
    ),
]
ROWS = [
    {"example_id": "middle7.txt", "article": ARTICLE["article"]}
    | {"question": question, "options": options, "answer": answer}
    for question, options, answer in zip(ARTICLE["questions"], ARTICLE["options"], ARTICLE["answers"], strict=True)
]
HIGH = Question("x", ("q a", "q b", "q c", "q d"), 1, "high1.txt-0")


def original(folder: Path, article: Any = ARTICLE) -> Path:
    """The folder RACE, with one article at level middle, and one of a single question at level high."""
    high = {"answers": ["B"], "options": [["a", "b", "c", "d"]], "questions": ["q"], "article": "x", "id": "high1.txt"}
    for split in ("train", "dev", "test"):
        for level, content in {"middle": article, "high": high}.items():
            (folder / split / level).mkdir(parents=True)
            (folder / split / level / "1.txt").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def test_original_folders(tmp_path: Path) -> None:
    original(tmp_path)
    expected = {key: [*QUESTIONS, HIGH] for key in ("train", "val", "test")}
    parts = {"test_middle": QUESTIONS, "test_high": [HIGH]}
    assert race.read(str(tmp_path)) == expected | parts
    assert list(race.read(str(tmp_path), ["high", "middle"])) == [*expected, *parts]
    assert race.read(str(tmp_path), ["high"]) == {key: [HIGH] for key in expected}


def test_compressed_articles_and_files_that_are_none(tmp_path: Path) -> None:
    original(tmp_path)
    for path in tmp_path.glob("*/*/1.txt"):
        path.with_suffix(".txt.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.rename(path.with_name(".DS_Store"))
    assert race.read(str(tmp_path), ["middle"])["test"] == QUESTIONS


def test_json_lines(tmp_path: Path) -> None:
    for name in ("train_middle.jsonl", "dev_middle.jsonl", "test_middle.jsonl"):
        (tmp_path / name).write_text("\n".join(map(json.dumps, ROWS)))
    assert race.read(str(tmp_path), ["middle"]) == dict.fromkeys(("train", "val", "test"), QUESTIONS)


def test_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def hub(*name: str) -> dict[str, list[dict[str, Any]]]:
        asked.append(name)
        return {"train": ROWS, "validation": ROWS[:1], "test": []}

    monkeypatch.setattr(files, "hub", hub)
    assert race.read(levels=["middle"]) == {"train": QUESTIONS, "val": QUESTIONS[:1], "test": []}
    assert asked == [("ehovy/race", "middle")]


@pytest.mark.parametrize(
    ("article", "message"),
    [
        ("{", r"1.txt: not valid JSON"),
        ("[]", r"1.txt: expected a JSON object, found list"),
        ({"questions": []}, r"1.txt: no field 'options'"),
        (ARTICLE | {"answers": ["D"]}, r"1.txt: 2 questions, 2 lists of options and 1 answers"),
        (ARTICLE | {"answers": ["D", "E"]}, r"1.txt, question 2: unknown label 'E'; there are A, B, C, D"),
        (ARTICLE | {"options": [["a"] * 4, ["a"] * 3]}, r"1.txt, question 2: 'options' are not 4 texts"),
        (ARTICLE | {"options": [["a", "b", "c", 4], ["a"] * 4]}, r"1.txt, question 1: 'options' are not 4 texts"),
        (ARTICLE | {"questions": [None, "x"]}, r"1.txt, question 1: field 'question' is NoneType, expected str"),
    ],
)
def test_illegal_article(tmp_path: Path, article: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        race.read(str(original(tmp_path, article)))


def test_illegal_folders(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"neither train_high.jsonl .*; nor is there a folder train/high"):
        race.read(str(tmp_path), ["high"])
    original(tmp_path)
    (tmp_path / "test" / "high" / "1.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"test/high has no .txt files"):
        race.read(str(tmp_path))


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ("middle", r"task.data.levels=middle is not a list; write \[middle\]"),
        ([], r"task.data.levels=\[\] is not a list"),
        (["hihg"], r"unknown level 'hihg'; did you mean 'high'\?"),
    ],
)
def test_illegal_levels(levels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        race.read(levels=levels)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="the public data sets are not here")
def test_the_published_questions_are_whole_in_512_tokens() -> None:
    rows = race.numbered(files.jsonl(files.locate(SHARED, "dev_middle.jsonl")))
    assert len(rows) == 1436
    assert len({row.id for row in rows}) == 1436
    assert all("_" not in choice for row in rows for choice in row.choices)
    tokenizer = Tiny().tokenizer()
    some = rows[:40]
    firsts = [row.text for row in some for _ in row.choices]
    seconds = [choice for row in some for choice in row.choices]
    encoded = second_leads(tokenizer, firsts, seconds, 512)
    for ids, choice in zip(encoded.ids, seconds, strict=True):
        assert len(ids) <= 512
        whole = tokenizer(choice, add_special_tokens=False)["input_ids"]
        assert ids[1 : len(whole) + 2] == [*whole, tokenizer.sep_token_id]


def test_the_task_keeps_question_and_option_whole() -> None:
    module = composed("task=race").task.module
    assert module.encode._target_ == "tasks.encoding.second_leads"
    assert module.max_length == 512
